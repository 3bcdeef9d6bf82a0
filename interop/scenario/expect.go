package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

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
	kernel := ""
	if e.Kernel != "" {
		kernel = heading(e.Kernel) + " "
	}
	return fmt.Sprintf("line %d: %s%s %s%s", e.Line, kernel, e.Pattern, e.key(), e.Version)
}

// On reports whether the expectation is about this kernel, alone or with others.
func (e Expectation) On(kernel string) bool { return e.Kernel == "" || e.Kernel == kernel }

// ParseExpectations reads a file of expected failures. Each line is
//
//	PATTERN CHECK@PEER REASON
//
// with {a,b} for either in the first two; the reason, a sentence or a link, is
// compulsory. "#" begins a comment. Lines below a heading, [KERNEL], are about that
// kernel. A line with CHECK@PEER<8.4, PEER>=8.1 or PEER>=8.1<8.4 is about those
// versions of the peer, as its answer to hello gives them.
func ParseExpectations(text []byte) ([]Expectation, error) {
	var list []Expectation
	kernel := ""
	lines := bufio.NewScanner(bytes.NewReader(text))
	number := 1
	for ; lines.Scan(); number++ {
		l := strings.TrimSpace(lines.Text())
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if name, ok := parseHeading(l); ok {
			if !slices.Contains(KernelKinds, name) {
				return nil, fmt.Errorf("line %d: %w", number, noKernel(name))
			}
			kernel = name
			continue
		}
		more, err := parseExpectation(strings.Fields(l))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, e := range more {
			e.Line, e.Kernel = number, kernel
			list = append(list, e)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: longer than %d bytes", number, bufio.MaxScanTokenSize)
	}
	return list, lines.Err()
}

func noKernel(name string) error {
	return fmt.Errorf("no such kernel: %q; kernels are %v", name, KernelKinds)
}

// heading is the line above those that are about a kernel.
func heading(kernel string) string { return "[" + kernel + "]" }

// parseHeading reads a heading. Brackets may begin a pattern too, but behind that
// there is more.
func parseHeading(line string) (kernel string, ok bool) {
	kernel, ok = strings.CutPrefix(strings.TrimSpace(line), "[")
	kernel, closed := strings.CutSuffix(kernel, "]")
	return kernel, ok && closed && !strings.ContainsAny(kernel, " \t")
}

// parseExpectation makes one of each CHECK@PEER that braces stand for.
func parseExpectation(words []string) (list []Expectation, err error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("PATTERN CHECK@PEER REASON, and the reason is compulsory")
	}
	e := Expectation{Reason: strings.Join(words[2:], " ")}
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
		check, peer, ok := strings.Cut(key, "@")
		e.Check, e.Peer, e.Version = Check(check), peer, ""
		if i := strings.IndexAny(peer, "<>="); i >= 0 {
			e.Peer, e.Version = peer[:i], peer[i:]
		}
		if !ok || !display.IsName(e.Peer) || !slices.Contains(Checks, e.Check) {
			return nil, fmt.Errorf("%q is not CHECK@PEER; checks are %v", key, Checks)
		}
		if e.Version != "" && !versionForm.MatchString(e.Version) {
			return nil, fmt.Errorf("%q: %q is not <VERSION, >=VERSION or both", key, e.Version)
		}
		list = append(list, e)
	}
	return list, nil
}

// Expectations are expected failures, held against a plan.
type Expectations struct {
	List  []Expectation
	Aside []Expectation // those whose peers were not built, or about another kernel or version
}

// Expect holds a list of expected failures against the whole plan, on a kernel. An
// expectation goes to Aside if it names a peer that was not built, or is about another
// kernel or another version of the peer. It is an error if an expectation is about no case
// at all.
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

// peerWord is what can be a peer's name in the last two parts of a pattern.
var peerWord = regexp.MustCompile(`[^/*!,{}]+`)

// CheckExpectations returns an error if an expectation is about no case, whatever the
// kernel, the peers and their versions are. The peers are those that the list names.
func CheckExpectations(list []Expectation, scenarios []*Scenario) error {
	var peers []*Peer
	seen := map[string]bool{RunnerName: true, KernelName: true}
	add := func(name string) {
		if !seen[name] && display.IsName(name) {
			peers = append(peers, Missing(name, ""))
		}
		seen[name] = true
	}
	for _, e := range list {
		add(e.Peer)
		parts := strings.Split(e.Pattern.text, "/")
		for _, part := range parts[max(0, len(parts)-2):] {
			for _, word := range peerWord.FindAllString(part, -1) {
				add(word)
			}
		}
	}
	_, err := Expect(list, KernelLinux, scenarios, peers, nil, Missing(RunnerName, ""))
	return err
}

// Selects reports whether the expectation is about the case: its pattern matches, its peer
// plays in one of its versions, and the check can be made there.
func (e Expectation) Selects(c Case) bool {
	for _, role := range []Role{RoleA, RoleB} {
		if p := c.Peer(role); p.Name == e.Peer && inVersions(e.Version, p.Hello.Version) {
			return e.concerns(c)
		}
	}
	return false
}

// concerns is Selects for any version.
func (e Expectation) concerns(c Case) bool {
	for _, role := range []Role{RoleA, RoleB} {
		if c.Peer(role).Name != e.Peer {
			continue
		}
		if e.Check != CheckCloexec || c.Scenario.receives(role) {
			return e.Pattern.Match(c.Name())
		}
	}
	return false
}

// For returns the expectations that are about the case.
func (x *Expectations) For(c Case) []Expectation {
	var list []Expectation
	for _, e := range x.List {
		if e.Selects(c) {
			list = append(list, e)
		}
	}
	return list
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
	if c.Kernel() || c.A.Name == RunnerName && c.B.Name == RunnerName {
		return ""
	}
	runner := &Peer{Name: RunnerName}
	alone := Case{Scenario: c.Scenario, Type: c.Type, A: runner, B: runner}
	for _, e := range x.List {
		if e.Peer == RunnerName && e.Selects(alone) {
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
	found := map[string]bool{}
	for _, f := range r.Findings {
		found[f.Key()] = true
	}
	covered := map[string]bool{}
	var gone []string
	for _, e := range x.For(r.Case) {
		key := string(e.Check) + "@" + e.Peer
		covered[key] = true
		if found[key] {
			r.Reasons = append(r.Reasons, e.Reason)
		} else if (e.Check != CheckCloexec || r.CloexecChecked[e.Peer]) && !senderWrong(r, e.Peer) {
			gone = append(gone, e.String())
		}
	}
	unexpected := slices.ContainsFunc(r.Findings, func(f Finding) bool { return !covered[f.Key()] })
	r.Gone = gone
	switch {
	case unexpected:
		r.Verdict = Fail
	case len(gone) > 0:
		r.Verdict = Fixed
		r.Why = "expected to fail, and does not: " + strings.Join(gone, "; ")
	case len(r.Findings) > 0:
		r.Verdict = Expected
	}
}
