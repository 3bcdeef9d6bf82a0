package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
)

// A Case is a scenario on one type of socket with one peer in each role.
type Case struct {
	Scenario *Scenario
	Type     string
	A, B     *Peer
}

// Name is GROUP/ID/TYPE/SENDER/RECEIVER.
func (c Case) Name() string {
	return strings.Join([]string{c.Scenario.Name, c.Type, c.A.Name, c.B.Name}, "/")
}

// Peer returns the peer in this role.
func (c Case) Peer(role Role) *Peer {
	if role == RoleA {
		return c.A
	}
	return c.B
}

// asSender is the case's name without the receiver.
func (c Case) asSender() string {
	return strings.Join([]string{c.Scenario.Name, c.Type, c.A.Name}, "/")
}

// AloneName returns the name of the case for the peer in this role, whoever is opposite.
func (c Case) AloneName(role Role) string {
	return strings.Join([]string{c.Scenario.Name, c.Type, role.String(), c.Peer(role).Name}, "/")
}

// Opposite returns the peer that plays with the named one.
func (c Case) Opposite(name string) *Peer {
	if c.A.Name == name {
		return c.B
	}
	return c.A
}

// Kernel reports whether the case is about the kernel, and no peer.
func (c Case) Kernel() bool { return c.Scenario.Kernel() }

// OutOfReach returns why the peer in this role cannot play the case, or "".
func (c Case) OutOfReach(role Role) string {
	p := c.Peer(role)
	if why := p.takes(c.Scenario, role, c.Type); why != "" {
		return p.Name + ": " + why
	}
	if _, other := c.Scenario.Users[role]; p.Serve != nil && (other || role == RoleB && c.Scenario.Limits()) {
		return p.Name + " is in the runner's own process, whose limit and user stay"
	}
	return ""
}

// Unplayable returns why the case cannot be played, or "".
func (c Case) Unplayable() string {
	if why := c.OutOfReach(RoleA); why != "" {
		return why
	}
	return c.OutOfReach(RoleB)
}

// A Check is one thing that can be wrong with a peer.
type Check string

const (
	CheckAnswer   Check = "answer"   // the answer is not one that the scenario has
	CheckFile     Check = "file"     // a descriptor is not what the peer says it is
	CheckCloexec  Check = "cloexec"  // a received descriptor is not close-on-exec
	CheckLeak     Check = "leak"     // a descriptor of the case is open and nobody was told
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

func (f Finding) String() string {
	return fmt.Sprintf("%s@%s: %s", f.Check, f.Peer, f.Text)
}

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
	Pass        Verdict = "pass"        // all as the scenario has it
	Fail        Verdict = "fail"        // something is wrong that was not expected
	Expected    Verdict = "expected"    // all that is wrong was expected
	Fixed       Verdict = "fixed"       // something that was expected to be wrong is not
	Flaky       Verdict = "flaky"       // it failed, and when it was played again it did not: not passed
	Unsupported Verdict = "unsupported" // a peer has no interface for it
	NotRun      Verdict = "not run"     // the runner could not
)

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
var Verdicts = []Verdict{Pass, Fail, Expected, Fixed, Flaky, Unsupported, NotRun}

var hashForm = regexp.MustCompile(`^[0-9a-f]*$`)

// CheckResults checks results that somebody else wrote: each name is a name, each case is
// there once, and each finding is about a peer that plays in it.
func CheckResults(results []Result) error {
	seen := map[string]bool{}
	for _, r := range results {
		if err := r.check(); err != nil {
			return fmt.Errorf("case %q: %w", r.Name, err)
		}
		if seen[r.Name] {
			return fmt.Errorf("two cases are named %q", r.Name)
		}
		seen[r.Name] = true
	}
	return nil
}

func (r Result) check() error {
	part := strings.Split(r.Name, "/")
	if len(part) != 5 || slices.ContainsFunc(part, func(word string) bool { return !display.IsName(word) }) || !slices.Contains(contract.SocketTypes, part[2]) {
		return errors.New("not the name of a case")
	}
	if !slices.Contains(Verdicts, r.Verdict) {
		return fmt.Errorf("no such verdict: %q", r.Verdict)
	}
	if !hashForm.MatchString(r.Hash) {
		return fmt.Errorf("not a hash: %q", r.Hash)
	}
	for _, f := range r.Findings {
		if !slices.Contains(Checks, f.Check) {
			return fmt.Errorf("no such check: %q", f.Check)
		}
		if f.Peer != part[3] && f.Peer != part[4] {
			return fmt.Errorf("the peer %q of a finding does not play in it", f.Peer)
		}
	}
	return nil
}

// Kernel tells whether the result is about the kernel, and no peer.
func (r Result) Kernel() bool {
	return strings.HasSuffix(r.Name, "/"+KernelName+"/"+KernelName)
}

// Unexpected tells whether the verdict is Fail, Fixed or Flaky. A case that was not run,
// or is unsupported, is not unexpected.
func (r Result) Unexpected() bool {
	return r.Verdict == Fail || r.Verdict == Fixed || r.Verdict == Flaky
}
