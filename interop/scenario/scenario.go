package scenario

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A Scenario is a parsed transcript. It contains the commands for the peers A and B, and the
// answers that it accepts from them.
type Scenario struct {
	Name    string        // GROUP/ID, which never changes
	Rule    []string      // the rule and its source
	Types   []string      // socket types: stream, dgram, seqpacket
	Play    Play          // the peers that run it
	RoomAny bool          // it is also for libraries that fix the capacity of a receive
	Waits   []Role        // the roles whose send or receive must wait inside the system call
	Needs   []string      // requirements on the system
	Users   map[Role]User // the roles that run as another user
	Files   []FileSpec
	Steps   []Step
	Hash    string // of the text

	text string
}

// Play determines which peers run a scenario.
type Play string

const (
	PlayPair     Play = "pair"     // every peer as A with every peer as B
	PlaySolo     Play = "solo"     // every peer as A and as B, with the runner in the other role
	PlaySender   Play = "sender"   // every peer as A, with the runner as B
	PlayReceiver Play = "receiver" // every peer as B, with the runner as A
	PlayKernel   Play = "kernel"   // the runner as both, to test the kernel
)

// A FileSpec describes a file that a scenario needs. The runner creates the file anew for each case.
type FileSpec struct {
	Name  string
	Owner Role
	Kind  string
}

// EndOf reports whether this file is the other end of another file, such as a pipe, and returns the
// name of that file. For b=end:a, it returns a.
func (f FileSpec) EndOf() (string, bool) { return strings.CutPrefix(f.Kind, "end:") }

// A User describes the user that the process in a role runs as.
type User struct {
	UID    int
	NoFile int // its limit of open files, or 0 to leave it unchanged
}

// A Role identifies a participant in a case. A and B are the peers, and R is the runner.
type Role byte

const (
	RoleA Role = 'A'
	RoleB Role = 'B'
	RoleR Role = 'R'
)

func (r Role) String() string { return string(r) }

// Other returns the other of RoleA and RoleB.
func (r Role) Other() Role { return RoleA + RoleB - r }

// A StepKind says whether a Step is a command or an answer.
type StepKind byte

const (
	StepCommand StepKind = '>' // send a command
	StepAnswer  StepKind = '<' // compare the answer
)

// A Step is a command or an expected answer in a transcript.
type Step struct {
	Role         Role
	Kind         StepKind
	Async        bool          // ">&": the answer is read later, by "<&"
	Text         string        // of the command
	Command      contract.Line // the command of A or B, parsed
	Act          Act           // the command of the runner, parsed
	Alternatives []Alternative // the answers that are accepted
	Line         int           // in the transcript
}

// Async returns "&" if st.Async is set, and "" otherwise.
func Async(st Step) string {
	if st.Async {
		return "&"
	}
	return ""
}

// An Alternative is one of the answers that a step accepts. If it is not the first, Reason says why
// the scenario accepts it.
type Alternative struct {
	Text   string
	Reason string
	Line   contract.Line

	// A peer must give a swapped answer to every command that has one, or to none of these commands.
	Swapped bool
}

// Kernel reports whether the scenario tests the kernel instead of peers.
func (s *Scenario) Kernel() bool { return s.Play == PlayKernel }

// RunByRunner reports whether one of the runner's own processes always takes the role. The scenario
// can tell such a process to make system calls, in addition to sending it the commands for peers.
func (s *Scenario) RunByRunner(role Role) bool {
	return s.Kernel() || s.Play == PlayReceiver && role == RoleA || s.Play == PlaySender && role == RoleB
}

// commands returns the commands for these roles.
func (s *Scenario) commands(roles ...Role) (list []contract.Line) {
	for _, st := range s.Steps {
		if st.Kind == StepCommand && slices.Contains(roles, st.Role) {
			list = append(list, st.Command)
		}
	}
	return list
}

// UsesPaths reports whether a command contains the path of a file or socket.
func (s *Scenario) UsesPaths() bool {
	return slices.ContainsFunc(s.commands(RoleA, RoleB), func(l contract.Line) bool {
		_, path := l.Fields["path"]
		return path || strings.HasPrefix(l.Fields["name"], "path:")
	})
}

// largestPayload returns the length of the longest payload that either peer sends.
func (s *Scenario) largestPayload() (largest int) {
	for _, l := range s.commands(RoleA, RoleB) {
		if l.Verb == "send" {
			largest = max(largest, contract.PayloadLen(l.Fields["payload"]))
		}
	}
	return largest
}

// otherPayload reports whether either peer sends a payload other than this one.
func (s *Scenario) otherPayload(payload string) bool {
	return slices.ContainsFunc(s.commands(RoleA, RoleB), func(l contract.Line) bool {
		sent, sends := l.Fields["payload"]
		return sends && sent != payload
	})
}

// fixedPayload is the payload of the scenarios that also suit libraries with a fixed payload.
const fixedPayload = "00"

// fixedForm matches fixedPayload, its length, and the capacity of a receive for it.
var fixedForm = regexp.MustCompile(`(?m)\b(payload=` + fixedPayload + `|n=1|bytes=1)( |$)`)

// withPayload returns the scenario with fixedPayload replaced by payload, for a library that
// always sends payload. It returns the scenario unchanged if the scenario also sends other
// payloads, or if payload is longer than 16 bytes, which might not fit into a receive. The result
// keeps the name and the hash of the scenario.
func (s *Scenario) withPayload(payload string) *Scenario {
	n := len(payload) / 2
	if payload == fixedPayload || n < 1 || n > 16 || s.otherPayload(fixedPayload) {
		return s
	}
	length := strconv.Itoa(n)
	replace := strings.NewReplacer("payload="+fixedPayload, "payload="+payload, "n=1", "n="+length, "bytes=1", "bytes="+length)
	other, err := Parse(s.Name, []byte(fixedForm.ReplaceAllStringFunc(s.text, replace.Replace)))
	if err != nil {
		return s // the payload in the peer's answer to hello is invalid
	}
	other.Hash = s.Hash
	return other
}

// RunsAlone reports whether no other case of the same user may run at the same time.
func (s *Scenario) RunsAlone() bool {
	// The kernel limits how many files a user's processes may together have in flight. The limit is
	// RLIMIT_NOFILE of the sending process; root is exempt. A case whose peers run as another user also
	// runs alone, because another scenario can use the same user.
	limits := slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Act.Verb == "limit" })
	return limits && os.Getuid() != 0 || len(s.Users) > 0
}

// NeedsRoot reports whether only root can run the scenario.
func (s *Scenario) NeedsRoot() bool { return len(s.Users) > 0 || slices.Contains(s.Needs, "root") }

// PassesPidfds reports whether the kernel adds a pidfd for the sender to the messages that
// this role receives.
func (s *Scenario) PassesPidfds(role Role) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return st.Act == Act{Verb: "setsockopt", Role: role, Name: "passpidfd", Value: 1}
	})
}

// PassesFiles reports whether a role receives a file, which the other role has sent.
func (s *Scenario) PassesFiles() bool { return s.receives(RoleA) || s.receives(RoleB) }

// receives reports whether an answer of this role names a received file.
func (s *Scenario) receives(role Role) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return st.Role == role && slices.ContainsFunc(st.Alternatives, func(a Alternative) bool {
			fds := a.Line.List("fds")
			return len(fds) > 0 && !closedForm.MatchString(fds[0])
		})
	})
}
