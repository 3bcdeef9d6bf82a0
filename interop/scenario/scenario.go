package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strconv"
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
}

// RunnerPlays tells whether the runner itself plays the role, whoever the peers are: it
// can then be told what no peer knows.
func (s *Scenario) RunnerPlays(role Role) bool {
	switch s.Play {
	case PlayReceiver:
		return role == RoleA
	case PlaySender:
		return role == RoleB
	}
	return s.Play == PlayKernel
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

// needs are what a transcript's "needs" line may name: root, or socket options that
// not all kernels have.
var needs = []string{"root", "passpidfd", "passrights", "rightsnotrunc", "inq", "peekoff"}

// A User is as whom a side is started.
type User struct {
	UID    int
	NoFile int // its limit of open files, or 0 for what it is
}

// EndOf returns the file of which this one is the other end: b=end:a.
func (f FileSpec) EndOf() (string, bool) { return strings.CutPrefix(f.Kind, "end:") }

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
func (s *Scenario) Group() string {
	group, _, _ := strings.Cut(s.Name, "/")
	return group
}

// Kernel tells whether the scenario is about the kernel, and no peer.
func (s *Scenario) Kernel() bool { return s.Play == PlayKernel }

// capabilities lists what a peer in this role must have in its can=.
func (s *Scenario) capabilities(role Role) []string {
	var caps []string
	add := func(c string) {
		if !slices.Contains(caps, c) {
			caps = append(caps, c)
		}
	}
	for _, st := range s.Steps {
		if st.Role != role || st.Kind != StepSay {
			continue
		}
		l := st.Command
		if _, ok := l.Fields["flags"]; ok {
			add("flags")
		}
		switch l.Verb {
		case "send":
			if names, _ := expandNames(l.List("fds")); len(names) > 1 {
				add("multi")
			}
			if len(l.List("payload")) > 1 {
				add("iov")
			}
		case "recv":
			if fds := l.Fields["fds"]; fds != "0" && fds != "1" {
				add("multi")
			}
			if len(l.List("bytes")) > 1 {
				add("iov")
			}
		}
	}
	return caps
}

// UsesPaths tells whether the runner names files or sockets in it.
func (s *Scenario) UsesPaths() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		_, path := st.Command.Fields["path"]
		return st.Kind == StepSay && st.Role != RoleR && (path || strings.HasPrefix(st.Command.Fields["name"], "path:"))
	})
}

// largestPayload is the length of the longest payload that either peer sends.
func (s *Scenario) largestPayload() int {
	largest := 0
	for _, st := range s.Steps {
		l := st.Command
		if st.Kind != StepSay || l.Verb != "send" {
			continue
		}
		size := 0
		for _, p := range l.List("payload") {
			if n, ok := strings.CutPrefix(p, "@"); ok {
				k, _ := strconv.Atoi(n)
				size += max(0, min(k, math.MaxInt-size)) // a sum beyond all rooms stays that
			} else {
				size += min(len(p)/2, math.MaxInt-size)
			}
		}
		largest = max(largest, size)
	}
	return largest
}

// otherPayload tells whether either side sends anything but this payload.
func (s *Scenario) otherPayload(payload string) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		l := st.Command
		sent, sends := l.Fields["payload"]
		return st.Kind == StepSay && sends && sent != payload
	})
}

// fixedPayload is the payload of the scenarios that libraries with a fixed one play.
const fixedPayload = "00"

// withPayload returns the scenario with this payload in the place of fixedPayload, if it sends no
// other and they have the same length: a library that fixes its payload plays it too. The
// name and the hash stay.
func (s *Scenario) withPayload(payload string) *Scenario {
	if payload == fixedPayload || len(payload) != len(fixedPayload) || s.otherPayload(fixedPayload) {
		return s
	}
	replace := func(l contract.Line, text string) (contract.Line, string) {
		if l.Fields["payload"] == fixedPayload {
			l.Fields = maps.Clone(l.Fields)
			l.Fields["payload"] = payload
			text = strings.Replace(text, "payload="+fixedPayload, "payload="+payload, 1)
		}
		return l, text
	}
	other := *s
	other.Steps = slices.Clone(s.Steps)
	for i := range other.Steps {
		st := &other.Steps[i]
		st.Command, st.Text = replace(st.Command, st.Text)
		st.Wants = slices.Clone(st.Wants)
		for j := range st.Wants {
			st.Wants[j].Line, st.Wants[j].Text = replace(st.Wants[j].Line, st.Wants[j].Text)
		}
	}
	return &other
}

// Limits tells whether a peer is given another limit from outside.
func (s *Scenario) Limits() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return st.Act.Verb == "limit"
	})
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
	for _, st := range s.Steps {
		if st.Role != role || st.Kind != StepHear {
			continue
		}
		for _, w := range st.Wants {
			for _, item := range w.Line.List("fds") {
				if !strings.HasPrefix(item, "closed") {
					return true
				}
			}
		}
	}
	return false
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
