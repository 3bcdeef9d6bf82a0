// Package scenario has the transcripts and what is made of them before and after they are
// played: the parser, patterns, plans, shards, results and expectations. It starts nothing,
// and works on every system.
package scenario

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Case is a scenario on one type of socket with one peer in each role.
type Case struct {
	Scenario *Scenario
	Type     string
	A, B     *Peer
}

// Name is GROUP/ID/TYPE/SENDER/RECEIVER.
func (c Case) Name() string { return path.Join(c.Scenario.Name, c.Type, c.A.Name, c.B.Name) }

// Peer returns the peer in this role.
func (c Case) Peer(role Role) *Peer {
	if role == RoleA {
		return c.A
	}
	return c.B
}

// AloneName returns the name of the case for the peer in this role, whoever is opposite.
func (c Case) AloneName(role Role) string {
	return path.Join(c.Scenario.Name, c.Type, role.String(), c.Peer(role).Name)
}

// Kernel reports whether the case is about the kernel, and no peer.
func (c Case) Kernel() bool { return c.Scenario.Kernel() }

// OutOfReach returns why the peer in this role cannot play the case, or "".
func (c Case) OutOfReach(role Role) string {
	h := c.Peer(role).Hello
	lacks := map[string]bool{c.Type: !h.Offers(c.Type)} // by the words of can=
	needs := func(word string, is bool) { lacks[word] = lacks[word] || is && !h.Offers(word) }
	bytes, fds, fixed := strings.Cut(h.Room, ",")
	room, err := strconv.Atoi(bytes)
	small := err == nil && c.Scenario.largestPayload() > room
	for _, l := range c.Scenario.commands(role) {
		_, flags := l.Fields["flags"]
		names, _ := expandNames(l.List("fds"))
		other := bytes != "*" && l.Fields["bytes"] != bytes || fds != "*" && l.Fields["fds"] != fds
		many := l.Verb == "send" && len(names) > 1
		if l.Verb == "recv" {
			many = l.Fields["fds"] != "0" && l.Fields["fds"] != "1"
			small = small || other && !c.Scenario.RoomAny
		}
		needs("flags", flags)
		needs("multi", many)
		needs("iov", len(l.List("payload")) > 1 || len(l.List("bytes")) > 1)
	}
	for _, word := range []string{c.Type, "flags", "multi", "iov"} {
		if lacks[word] {
			return c.Peer(role).Name + ": no " + word
		}
	}
	switch {
	case h.Polls && slices.Contains(c.Scenario.Waits, role):
		return c.Peer(role).Name + ": it polls"
	case h.Payload != "" && c.Scenario.otherPayload(h.Payload):
		return c.Peer(role).Name + ": its payload is " + h.Payload
	case fixed && small:
		return c.Peer(role).Name + ": its room is " + h.Room
	}
	return ""
}

// Unplayable returns why the case cannot be played, or "".
func (c Case) Unplayable() string { return cmp.Or(c.OutOfReach(RoleA), c.OutOfReach(RoleB)) }

// A Check is one thing that can be wrong with a peer.
type Check string

const (
	CheckAnswer   Check = "answer"   // the answer is not one that the scenario has
	CheckFile     Check = "file"     // a descriptor is not what the peer says it is
	CheckCloexec  Check = "cloexec"  // a received descriptor is not close-on-exec
	CheckLeak     Check = "leak"     // a descriptor of the case is open, and the peer did not report it
	CheckContract Check = "contract" // the answer is not in the language of the contract
	CheckCrash    Check = "crash"    // the peer ended
	CheckHang     Check = "hang"     // the peer did not answer in time
)

// Checks lists them all.
var Checks = []Check{CheckAnswer, CheckFile, CheckCloexec, CheckLeak, CheckContract, CheckCrash, CheckHang}

// A Finding is one thing that is wrong, and at which peer.
type Finding struct {
	Check Check  `json:"check"`
	Peer  string `json:"peer"`
	Line  int    `json:"line,omitempty"` // of the scenario
	Text  string `json:"text"`

	Ambiguous bool `json:"-"` // which of the two it is, the kernel does not tell
	Own       bool `json:"-"` // it is what the peer did, whatever it received
}

func (f Finding) String() string { return f.Key() + ": " + f.Text }

// Located returns String with the line of the scenario before it, if there is one.
func (f Finding) Located() string {
	if f.Line == 0 {
		return f.String()
	}
	return fmt.Sprintf("line %d: %s", f.Line, f)
}

// Key returns CHECK@PEER, as an expectation names it.
func (f Finding) Key() string { return string(f.Check) + "@" + f.Peer }

// A Verdict is how a case ended. Unsupported and NotRun stand where there is no verdict.
type Verdict string

const (
	Pass           Verdict = "pass"        // all as the scenario has it
	Fail           Verdict = "fail"        // something is wrong that was not expected
	Expected       Verdict = "expected"    // all that is wrong was expected
	UnexpectedPass Verdict = "fixed"       // something that was expected to be wrong is not: the word of JSON reports
	Flaky          Verdict = "flaky"       // it failed, and when it was played again it did not: not passed
	Unsupported    Verdict = "unsupported" // a peer has no interface for it
	NotRun         Verdict = "not run"     // the runner could not
)

// String returns the verdict in the words that a user is shown.
func (v Verdict) String() string {
	if v == UnexpectedPass {
		return "unexpected pass"
	}
	return string(v)
}

// A Result is what came of a case.
type Result struct {
	Name       string    `json:"name"`
	Hash       string    `json:"hash"` // of the scenario's text
	Verdict    Verdict   `json:"verdict"`
	Why        string    `json:"why,omitempty"`
	Findings   []Finding `json:"findings,omitempty"`
	Reasons    []string  `json:"reasons,omitempty"` // of the expectations that apply
	Gone       []string  `json:"gone,omitempty"`    // the expectations that do not come true
	Tries      int       `json:"tries,omitempty"`   // how often it was played, if more than once
	Transcript []string  `json:"transcript,omitempty"`
	Trace      *Trace    `json:"trace,omitempty"`
	Seconds    float64   `json:"seconds"` // that it took

	Broken bool `json:"broken,omitempty"` // a peer did not even start

	Case Case `json:"-"`

	// CloexecChecked has the names of the peers at which close-on-exec was looked at.
	CloexecChecked map[string]bool `json:"-"`
}

// A Trace is what both peers said to the kernel when a case that had failed was played
// once more. The numbers in it are those of its own transcript.
type Trace struct {
	Why        string   `json:"why,omitempty"` // why it is not of what was found
	Transcript []string `json:"transcript,omitempty"`
	A          []string `json:"a,omitempty"`
	B          []string `json:"b,omitempty"`
}

// Verdicts lists them all.
var Verdicts = []Verdict{Pass, Fail, Expected, UnexpectedPass, Flaky, Unsupported, NotRun}

// Kernel tells whether the result is about the kernel, and no peer.
func (r Result) Kernel() bool { return strings.HasSuffix(r.Name, "/"+KernelName+"/"+KernelName) }

// Unexpected tells whether the verdict is Fail, UnexpectedPass or Flaky. A case that was not run,
// or is unsupported, is not unexpected.
func (r Result) Unexpected() bool {
	return r.Verdict == Fail || r.Verdict == UnexpectedPass || r.Verdict == Flaky
}

// An Outcome is what came of a run.
type Outcome struct {
	Results   []Result
	Witnesses map[string]int // how often each of the kernel's ways of telling was used
	Cut       error          // why the run ended early
	Broken    error          // why it did not begin
	Left      error          // why something of its folder of temporary files is left, and where
}
