package scenario

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A Scenario is a transcript: what is said to the peers A and B, and what they
// have to answer.
type Scenario struct {
	Name    string        // GROUP/ID, stable for ever
	Rule    []string      // what must hold, and where that comes from
	Types   []string      // socket types: stream, dgram, seqpacket
	Play    Play          // with whom
	RoomAny bool          // plays with libraries that fix the room of a receive
	Waits   []Role        // whose send or receive has to wait inside the system call
	Needs   []string      // what the system must have
	Users   map[Role]User // who are started as somebody else
	Files   []FileSpec
	Steps   []Step
	Hash    string // of the text

	text string
}

// Play says which peers a scenario is for.
type Play string

const (
	PlayPair     Play = "pair"     // every peer as A with every peer as B
	PlaySolo     Play = "solo"     // each peer as A and as B, the runner opposite
	PlaySender   Play = "sender"   // each peer as A, the runner as B
	PlayReceiver Play = "receiver" // each peer as B, the runner as A
	PlayKernel   Play = "kernel"   // the runner as both: the kernel is asked, and no peer
)

// A FileSpec is a file that a scenario needs, made fresh for each case.
type FileSpec struct {
	Name  string
	Owner Role
	Kind  string
}

// EndOf returns the file of which this one is the other end: b=end:a.
func (f FileSpec) EndOf() (string, bool) { return strings.CutPrefix(f.Kind, "end:") }

// A User is as whom a side is started.
type User struct {
	UID    int
	NoFile int // its limit of open files, or 0 for what it is
}

// A Role is a side of a case: A, B, or R, the runner.
type Role byte

const (
	RoleA Role = 'A'
	RoleB Role = 'B'
	RoleR Role = 'R'
)

func (r Role) String() string { return string(r) }

// A StepKind is what a line of a transcript does.
type StepKind byte

const (
	StepSay  StepKind = '>' // say a command
	StepHear StepKind = '<' // compare the answer
)

// A Step is a line of a transcript.
type Step struct {
	Role    Role
	Kind    StepKind
	Async   bool          // ">&": the answer is heard later, by "<&"
	Text    string        // of what is said
	Command contract.Line // the same, in words
	Act     Act           // the same, where the runner does it
	Wants   []Want        // of what is heard: any of them will do
	Line    int           // in the transcript
}

// Async returns "&" for a step that is not waited for.
func Async(st Step) string {
	if st.Async {
		return "&"
	}
	return ""
}

// A Want is an answer that is expected, with the reason why it will do.
type Want struct {
	Text   string
	Reason string
	Line   contract.Line
}

// Group is the part of the name before the slash.
func (s *Scenario) Group() string { return path.Dir(s.Name) }

// Kernel tells whether the scenario is about the kernel, and no peer.
func (s *Scenario) Kernel() bool { return s.Play == PlayKernel }

// RunnerPlays tells whether the runner itself plays the role, whoever the peers are: it
// can then be told what no peer knows.
func (s *Scenario) RunnerPlays(role Role) bool {
	return s.Kernel() || s.Play == PlayReceiver && role == RoleA || s.Play == PlaySender && role == RoleB
}

// commands are those that these roles are told.
func (s *Scenario) commands(roles ...Role) (list []contract.Line) {
	for _, st := range s.Steps {
		if st.Kind == StepSay && slices.Contains(roles, st.Role) {
			list = append(list, st.Command)
		}
	}
	return list
}

// UsesPaths tells whether the runner names files or sockets in it.
func (s *Scenario) UsesPaths() bool {
	return slices.ContainsFunc(s.commands(RoleA, RoleB), func(l contract.Line) bool {
		_, path := l.Fields["path"]
		return path || strings.HasPrefix(l.Fields["name"], "path:")
	})
}

// largestPayload is the length of the longest payload that either peer sends.
func (s *Scenario) largestPayload() (largest int) {
	for _, l := range s.commands(RoleA, RoleB) {
		if l.Verb == "send" {
			largest = max(largest, contract.PayloadLen(l.Fields["payload"]))
		}
	}
	return largest
}

// otherPayload tells whether either side sends anything but this payload.
func (s *Scenario) otherPayload(payload string) bool {
	return slices.ContainsFunc(s.commands(RoleA, RoleB), func(l contract.Line) bool {
		sent, sends := l.Fields["payload"]
		return sends && sent != payload
	})
}

// fixedPayload is the payload of the scenarios that libraries with a fixed one play.
const fixedPayload = "00"

var fixedForm = regexp.MustCompile(`(?m) payload=` + fixedPayload + `( |$)`)

// withPayload returns the scenario with this payload in the place of fixedPayload, if it sends no
// other and they have the same length: a library that fixes its payload plays it too. The
// name and the hash stay.
func (s *Scenario) withPayload(payload string) *Scenario {
	if payload == fixedPayload || len(payload) != len(fixedPayload) || s.otherPayload(fixedPayload) {
		return s
	}
	other, err := Parse(s.Name, []byte(fixedForm.ReplaceAllString(s.text, " payload="+payload+"$1")))
	if err != nil {
		return s // the peer's answer to hello is no payload
	}
	other.Hash = s.Hash
	return other
}

// Limits tells whether a peer is given another limit from outside.
func (s *Scenario) Limits() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Act.Verb == "limit" })
}

// PassesPidfds tells whether the kernel adds a pidfd of the sender to what this role
// receives.
func (s *Scenario) PassesPidfds(role Role) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return st.Act == Act{Verb: "setsockopt", Role: role, Name: "passpidfd", Number: 1}
	})
}

// receives tells whether any answer of this role names a received file.
func (s *Scenario) receives(role Role) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return st.Role == role && slices.ContainsFunc(st.Wants, func(w Want) bool {
			fds := w.Line.List("fds")
			return len(fds) > 0 && !closedForm.MatchString(fds[0])
		})
	})
}
