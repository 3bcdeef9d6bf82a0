// Package scenario parses transcripts. It also provides patterns, plans, results and
// expectations, but it does not run transcripts. It starts no processes and works on every system.
package scenario

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
)

// A Case combines a scenario with one type of socket and one peer in each role.
type Case struct {
	Scenario *Scenario
	Type     string
	A, B     *Peer
}

// Name returns GROUP/ID/TYPE/SENDER/RECEIVER.
func (c Case) Name() string { return path.Join(c.Scenario.Name, c.Type, c.A.Name, c.B.Name) }

// start returns GROUP, ID and TYPE. It does not build the name, because a list of expectations is compared with tens of
// thousands of cases.
func (c Case) start() expected.Start {
	group, id, _ := strings.Cut(c.Scenario.Name, "/")
	return expected.Start{group, id, c.Type}
}

// Peer returns the peer in this role.
func (c Case) Peer(role Role) *Peer {
	if role == RoleA {
		return c.A
	}
	return c.B
}

// AloneName returns a name that identifies the scenario, the type of socket and the peer in this
// role. Cases that differ only in the other peer have the same AloneName.
func (c Case) AloneName(role Role) string {
	return path.Join(c.Scenario.Name, c.Type, role.String(), c.Peer(role).Name)
}

// Kernel reports whether the case tests the kernel instead of peers.
func (c Case) Kernel() bool { return c.Scenario.Kernel() }

// Control reports whether the runner takes both roles, which shows whether a scenario can pass here.
func (c Case) Control() bool { return c.A.Name == RunnerName && c.B.Name == RunnerName }

// UnsupportedBy returns the reason why the peer in this role does not support the case, or ""
// if it does.
func (c Case) UnsupportedBy(role Role) string {
	h := c.Peer(role).Hello
	lacks := map[string]bool{c.Type: !h.Offers(c.Type)} // keyed by the words of can=
	bytes, fds, fixed := strings.Cut(h.Room, ",")
	room, err := strconv.Atoi(bytes)
	small := err == nil && c.Scenario.largestPayload() > room
	for _, l := range c.Scenario.commands(role) {
		other := bytes != "*" && l.Fields["bytes"] != bytes || fds != "*" && l.Fields["fds"] != fds
		if l.Verb == "recv" {
			small = small || other && !c.Scenario.RoomAny
		}
		for _, word := range WordsOf(l) {
			lacks[word] = lacks[word] || !h.Offers(word)
		}
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

// WordsOf returns the words of can= that a command needs in addition to the type of socket.
func WordsOf(l contract.Line) (words []string) {
	_, flags := l.Fields["flags"]
	names, _ := expandNames(l.List("fds"))
	many := l.Verb == "send" && len(names) > 1
	if l.Verb == "recv" {
		many = l.Fields["fds"] != "0" && l.Fields["fds"] != "1"
	}
	add := func(word string, needs bool) {
		if needs {
			words = append(words, word)
		}
	}
	add("flags", flags)
	add("multi", many)
	add("iov", len(l.List("payload")) > 1 || len(l.List("bytes")) > 1)
	return words
}

// Unsupported returns the reason why a peer does not support the case, or "" if both peers do.
func (c Case) Unsupported() string { return cmp.Or(c.UnsupportedBy(RoleA), c.UnsupportedBy(RoleB)) }

// A Check is a category of findings.
type Check string

const (
	CheckAnswer   Check = "answer"
	CheckFile     Check = "file"
	CheckCloexec  Check = "cloexec"
	CheckLeak     Check = "leak"
	CheckContract Check = "contract"
	CheckCrash    Check = "crash"
	CheckHang     Check = "hang"
)

// Faults says for each check what a peer does that fails it. The name of the peer comes before it.
var Faults = map[Check]string{
	CheckAnswer:   "reports a wrong result, or makes its partner report one",
	CheckFile:     "mixes up descriptors, or changes the files behind them",
	CheckCloexec:  "receives descriptors without close-on-exec, so child processes inherit them",
	CheckLeak:     "keeps descriptors open that it did not report, or should have closed",
	CheckContract: "gives an answer that is malformed, or \"unsupported\" to a call that every peer must support",
	CheckCrash:    "ends in the middle of a case",
	CheckHang:     "does not answer in time",
}

// Checks lists all checks.
var Checks = []Check{CheckAnswer, CheckFile, CheckCloexec, CheckLeak, CheckContract, CheckCrash, CheckHang}

// A Finding is a fault that the runner found in a peer.
type Finding struct {
	Check Check  `json:"check"`
	Peer  string `json:"peer"`
	Line  int    `json:"line,omitempty"` // of the scenario
	Text  string `json:"text"`
	Short string `json:"short,omitempty"` // the first thing that is wrong with an answer; Text contains everything

	Expected bool `json:"expected,omitempty"` // an expectation covers it

	Ambiguous bool `json:"-"` // the kernel does not show which of the two peers is at fault
	Own       bool `json:"-"` // the peer did it itself, regardless of what it received
	Hung      bool `json:"-"` // an answer did not arrive, of this peer or of its partner
}

func (f Finding) String() string { return f.Key() + ": " + f.Text }

// Located returns f.String(), preceded by the line number if f.Line is set.
func (f Finding) Located() string {
	if f.Line == 0 {
		return f.String()
	}
	return fmt.Sprintf("line %d: %s", f.Line, f)
}

// Key returns CHECK@PEER, which is the form that expectations use.
func (f Finding) Key() string { return string(f.Check) + "@" + f.Peer }

// A Verdict is the outcome of a case. The verdicts Unsupported and NotRun mean that the case
// neither passed nor failed.
type Verdict string

const (
	Pass           Verdict = "pass"        // there are no findings
	Fail           Verdict = "fail"        // there is an unexpected finding
	Expected       Verdict = "expected"    // all findings were expected
	UnexpectedPass Verdict = "fixed"       // an expected finding is missing; "fixed" is the word in JSON reports
	Flaky          Verdict = "flaky"       // it was unexpected, but not when it was run again
	Unsupported    Verdict = "unsupported" // a peer or the system lacks something that it needs
	NotRun         Verdict = "not run"     // the runner could not run it
)

// String returns the verdict as it is shown to users.
func (v Verdict) String() string {
	if v == UnexpectedPass {
		return "unexpected pass"
	}
	return string(v)
}

// A Result contains the verdict and the findings of a case.
type Result struct {
	Name     string    `json:"name"`
	Hash     string    `json:"hash"` // of the scenario's text
	Verdict  Verdict   `json:"verdict"`
	Why      string    `json:"why,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	Reasons  []string  `json:"reasons,omitempty"` // of the expectations that apply
	Gone     []string  `json:"gone,omitempty"`    // the expectations for which there was no finding
	// KernelPasses contains the expectations about releases of Linux for which there was no finding. They do not
	// affect the verdict.
	KernelPasses []string `json:"kernel_passes,omitempty"`

	Tries      int      `json:"tries,omitempty"` // how often it was run, if more than once
	Transcript []string `json:"transcript,omitempty"`
	Trace      *Trace   `json:"trace,omitempty"`
	// Facts contains the lines of the transcript. Each is followed by what changed among the descriptors of the two
	// processes, and by what the runner found wrong, as text for a reader. Only an unexpected failure has facts.
	Facts []string `json:"facts,omitempty"`

	Seconds float64 `json:"seconds"` // how long it took

	Broken bool `json:"broken,omitempty"` // a peer did not even start

	AskedNoMore string `json:"asked_no_more,omitempty"` // the peer because of which earlier cases hung, which is why this one was not run

	// CloexecChecked contains the names of the peers that received a descriptor whose
	// close-on-exec flag the runner checked. It is sorted.
	CloexecChecked []string `json:"cloexec_checked,omitempty"`

	Case     Case     `json:"-"`
	Obstacle Obstacle `json:"-"` // why there is no verdict, unless CountAsked and Obstacles know it from the rest
}

// SetCloexecChecked adds the peer to CloexecChecked.
func (r *Result) SetCloexecChecked(peer string) {
	if i, found := slices.BinarySearch(r.CloexecChecked, peer); !found {
		r.CloexecChecked = slices.Insert(r.CloexecChecked, i, peer)
	}
}

// A Trace contains the system calls of both peers, which the runner recorded when it reran a
// failed case. The descriptors in the calls match the transcript in the Trace. The transcript in
// the Result is from the original run, so its descriptors can differ.
type Trace struct {
	Why        string   `json:"why,omitempty"` // why it does not show the failure
	Transcript []string `json:"transcript,omitempty"`
	A          []string `json:"a,omitempty"`
	B          []string `json:"b,omitempty"`
}

// Verdicts lists all verdicts.
var Verdicts = []Verdict{Pass, Fail, Expected, UnexpectedPass, Flaky, Unsupported, NotRun}

// Kernel reports whether the result is for a kernel scenario.
func (r Result) Kernel() bool { return strings.HasSuffix(r.Name, "/"+KernelName+"/"+KernelName) }

// Control reports whether the result is for a case in which the runner takes both roles; see Case.Control.
func (r Result) Control() bool { return strings.HasSuffix(r.Name, "/"+RunnerName+"/"+RunnerName) }

// Keys returns CHECK@PEER of each finding, sorted and without duplicates.
func (r Result) Keys() (keys []string) {
	for _, f := range r.Findings {
		keys = append(keys, f.Key())
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Unexpected reports whether the verdict is Fail, UnexpectedPass or Flaky.
func (r Result) Unexpected() bool {
	return r.Verdict == Fail || r.Verdict == UnexpectedPass || r.Verdict == Flaky
}

// ReadingEffort estimates how long it takes to read the case. The unit is about one character, and a number
// counts as one: a case is not easier to read because its partner has fewer descriptors open.
func (r Result) ReadingEffort() (characters int) {
	characters = 500 * len(r.Findings)
	for _, l := range r.Transcript {
		characters += 20 + len(l)
		for i := 1; i < len(l); i++ {
			if isDigit(l[i-1]) && isDigit(l[i]) {
				characters--
			}
		}
	}
	return characters
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// A RunResult contains the results of a run and the errors that affected the run as a whole.
type RunResult struct {
	Results   []Result
	Witnesses map[string]int // how often each of the kernel's interfaces identified a file
	Cut       error          // why the run ended early
	Broken    error          // why it did not begin
	Left      error          // which temporary files could not be removed, and why
}
