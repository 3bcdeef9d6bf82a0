package scenario

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// The kinds of kernels that expectations may be about, by their headings.
const KernelLinux, KernelGVisor = "linux", "gvisor"

// KernelKinds are all of them.
var KernelKinds = []string{KernelLinux, KernelGVisor}

// An Expectation is a line of a file of expected failures: in the cases that
// the pattern selects, the peer fails the check, for the reason given.
type Expectation struct {
	Pattern Pattern
	Check   Check
	Peer    string
	Version string // of the peer, as in "<8.4" or ">=8.1<8.4", or "" for any
	Reason  string
	Kernel  string // of KernelKinds, the one that it is about, or "" for any
	Line    int
}

func (e Expectation) String() string {
	kernel := strings.TrimPrefix("["+e.Kernel+"] ", "[] ")
	return fmt.Sprintf("line %d: %s%s %s%s", e.Line, kernel, e.Pattern, e.key(), e.Version)
}

// On reports whether the expectation is about this kernel, alone or with others.
func (e Expectation) On(kernel string) bool { return e.Kernel == "" || e.Kernel == kernel }

// key is CHECK@PEER, as that of a Finding.
func (e Expectation) key() string { return Finding{Check: e.Check, Peer: e.Peer}.Key() }

// The forms of a heading and of CHECK@PEER, with versions or without.
var (
	headingForm = regexp.MustCompile(`^\[(\S*)\]$`)
	keyForm     = regexp.MustCompile(`^([a-z]+)@([^<>=]+)((?:>=[0-9]+(?:\.[0-9]+)*)?(?:<[0-9]+(?:\.[0-9]+)*)?)$`)
)

// ParseExpectations reads a file of expected failures. Each line is
//
//	PATTERN CHECK@PEER REASON
//
// with {a,b} for either in the first two. "#" begins a comment. Lines below a heading,
// [KERNEL], are about that kernel. A line with CHECK@PEER<8.4, PEER>=8.1 or PEER>=8.1<8.4
// is about those versions of the peer, as its answer to hello gives them.
func ParseExpectations(text []byte) (list []Expectation, err error) {
	kernel := ""
	for i, l := range strings.Split(string(text), "\n") {
		l = strings.TrimSpace(l)
		heading := headingForm.FindStringSubmatch(l)
		var more []Expectation
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case heading == nil:
			more, err = parseExpectation(Expectation{Kernel: kernel, Line: i + 1}, strings.Fields(l))
		case slices.Contains(KernelKinds, heading[1]):
			kernel = heading[1]
		default:
			err = fmt.Errorf("no such kernel: %q; kernels are %v", heading[1], KernelKinds)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		list = append(list, more...)
	}
	return list, nil
}

// parseExpectation makes one of each CHECK@PEER that braces stand for.
func parseExpectation(e Expectation, words []string) (list []Expectation, err error) {
	if len(words) < 3 {
		return nil, errors.New("PATTERN CHECK@PEER REASON, and the reason is compulsory")
	}
	e.Reason = strings.Join(words[2:], " ")
	if strings.HasPrefix(e.Reason, wanting) {
		return nil, fmt.Errorf("a reason has to be given in the place of %q", e.Reason)
	}
	if display.Line(e.Reason) != e.Reason {
		return nil, fmt.Errorf("not text: %q", e.Reason)
	}
	if e.Pattern, err = ParsePattern(words[0]); err != nil {
		return nil, err
	}
	keys, err := expandBraces(words[1])
	if err != nil {
		return nil, fmt.Errorf("%q: %w", words[1], err)
	}
	for _, key := range keys {
		m := keyForm.FindStringSubmatch(key)
		if m == nil || !display.IsName(m[2]) || !slices.Contains(Checks, Check(m[1])) {
			return nil, fmt.Errorf("%q is not CHECK@PEER, with <VERSION, >=VERSION or both behind it or none; checks are %v", key, Checks)
		}
		e.Check, e.Peer, e.Version = Check(m[1]), m[2], m[3]
		list = append(list, e)
	}
	return list, nil
}

var (
	versionBound = regexp.MustCompile(`(>=|<)([0-9.]+)`)
	numbersForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)
)

// inVersions reports whether a version is among those that text gives, as in
// ">=8.1<8.4". "" gives all of them; a version that begins with no number is in "" alone.
func inVersions(text, version string) bool {
	has := numbersForm.FindString(version)
	for _, m := range versionBound.FindAllStringSubmatch(text, -1) {
		if has == "" || (slices.Compare(numbersOf(has), numbersOf(m[2])) < 0) != (m[1] == "<") {
			return false
		}
	}
	return true
}

// numbersOf reads dotted numbers: 8.10 is behind 8.4, and 8.4 is 8.4.0.
func numbersOf(version string) []int {
	list := make([]int, 16)
	for i, part := range strings.SplitN(version, ".", len(list)) {
		list[i], _ = strconv.Atoi(part)
	}
	return list
}

// Expectations are expected failures, held against a plan.
type Expectations struct {
	List  []Expectation
	Aside []Expectation // those whose peers were not built, or about another kernel or version
}

// Expect holds a list of expected failures against the whole plan, on a kernel. It is an error
// if an expectation is about no case at all.
func Expect(list []Expectation, kernel string, scenarios []*Scenario, peers []*Peer, missing []*Peer, runner *Peer) (*Expectations, error) {
	x := &Expectations{}
	here := Plan(scenarios, peers, runner)
	var all []Case
	for _, e := range list {
		if e.On(kernel) && slices.ContainsFunc(here, e.Selects) {
			x.List = append(x.List, e)
			continue
		}
		if all == nil {
			all = Plan(scenarios, append(slices.Clone(peers), missing...), runner)
		}
		if !slices.ContainsFunc(all, e.concerns) {
			return nil, fmt.Errorf("%s applies to no case", e)
		}
		x.Aside = append(x.Aside, e)
	}
	return x, nil
}

// peerWord is what can be a peer's name in a pattern.
var peerWord = regexp.MustCompile(`[^/*!,{}]+`)

// CheckExpectations returns an error if an expectation is about no case, whatever the
// kernel, the peers and their versions are. The peers are those that the list names.
func CheckExpectations(list []Expectation, scenarios []*Scenario) error {
	for _, e := range list {
		var peers []*Peer
		parts := strings.Split(e.Pattern.text, "/")
		ends := strings.Join(parts[max(0, len(parts)-2):], "/")
		for _, name := range append(peerWord.FindAllString(ends, -1), e.Peer) {
			if name != RunnerName && name != KernelName {
				peers = append(peers, Missing(name, ""))
			}
		}
		if _, err := Expect([]Expectation{e}, KernelLinux, scenarios, peers, nil, Missing(RunnerName, "")); err != nil {
			return err
		}
	}
	return nil
}

// Selects reports whether the expectation is about the case: its pattern matches, its peer
// plays in one of its versions, and the check can be made there.
func (e Expectation) Selects(c Case) bool {
	return e.concerns(c) && (inVersions(e.Version, c.A.Hello.Version) && c.A.Name == e.Peer ||
		inVersions(e.Version, c.B.Hello.Version) && c.B.Name == e.Peer)
}

// concerns is Selects for any version.
func (e Expectation) concerns(c Case) bool {
	return slices.ContainsFunc([]Role{RoleA, RoleB}, func(role Role) bool {
		return c.Peer(role).Name == e.Peer && (e.Check != CheckCloexec || c.Scenario.receives(role))
	}) && e.Pattern.Match(c.Name())
}

// For returns the expectations that are about the case.
func (x *Expectations) For(c Case) []Expectation {
	return slices.DeleteFunc(slices.Clone(x.List), func(e Expectation) bool { return !e.Selects(c) })
}

// Hangs reports whether it is expected that the peer does not answer, or, for the runner,
// that the peer opposite gives a wrong answer, so that the runner may wait for it.
func (x *Expectations) Hangs(c Case, role Role) bool {
	name := c.Peer(role).Name
	return slices.ContainsFunc(x.For(c), func(e Expectation) bool {
		return e.Check == CheckHang && e.Peer == name || name == RunnerName && e.Peer != name && e.Check == CheckAnswer
	})
}

// RunnerFails returns why the case shows nothing about its peers, or "": the runner is
// expected to fail the scenario with itself, so this kernel is another one.
func (x *Expectations) RunnerFails(c Case) string {
	runner := &Peer{Name: RunnerName}
	alone := Case{Scenario: c.Scenario, Type: c.Type, A: runner, B: runner}
	for _, e := range x.For(alone) {
		if e.Peer == RunnerName && !c.Kernel() && c.Name() != alone.Name() {
			return "the runner fails it with itself: " + e.Reason
		}
	}
	return ""
}

// senderWrong tells whether the sender is to blame for something, so that
// nothing can be said of the receiver.
func senderWrong(r *Result, peer string) bool {
	return peer != r.Case.A.Name && slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Peer == r.Case.A.Name && f.Check != CheckCloexec
	})
}

// SetVerdict sets the verdict of a result by what was found and what was expected.
func (x *Expectations) SetVerdict(r *Result) {
	if r.Verdict != Pass && r.Verdict != Fail {
		return
	}
	unexpected := map[string]bool{}
	for _, f := range r.Findings {
		unexpected[f.Key()] = true
	}
	for _, e := range x.For(r.Case) {
		if _, found := unexpected[e.key()]; found {
			unexpected[e.key()] = false
			r.Reasons = append(r.Reasons, e.Reason)
		} else if (e.Check != CheckCloexec || r.CloexecChecked[e.Peer]) && !senderWrong(r, e.Peer) {
			r.Gone = append(r.Gone, e.String())
		}
	}
	switch {
	case slices.Contains(slices.Collect(maps.Values(unexpected)), true):
		r.Verdict = Fail
	case len(r.Gone) > 0:
		r.Verdict = UnexpectedPass
		r.Why = "expected to fail, and does not: " + strings.Join(r.Gone, "; ")
	case len(r.Findings) > 0:
		r.Verdict = Expected
	}
}
