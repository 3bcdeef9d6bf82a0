package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

// An Expectation says that the peer fails the check in the scenarios that the pattern selects, and gives the reason.
type Expectation struct {
	Pattern Pattern // of GROUP/ID/TYPE
	Check   Check
	Peer    string
	Version string // of the peer, as in "<8.4" or ">=8.1<8.4", or "" for any
	Role    Role   // of the peer, or 0 for any
	Partner string // a part of a pattern, for the other peer, or "" for any
	Reason  string
	Heading Heading
	File    string // as ParseExpectations was given it
	Line    int    // of the pattern
	Head    int    // the line of the check and the reason: the same one, or the first one of the block
	Builtin bool   // the repository's own list has the line
}

// Prefixes of a reason.
const (
	flakyMark      = "flaky:" // the failure may or may not occur
	unfinishedMark = "?"      // the reason is only a proposal; may follow flakyMark
)

// roleWords has the words for the roles of a peer.
var roleWords = map[Role]string{RoleA: ":sends", RoleB: ":receives"}

// byteOrderMark is U+FEFF, with which some editors begin a file.
const byteOrderMark = "\ufeff"

// String returns FILE:LINE: SCENARIO CHECK@PEER, with the heading, the versions, the role and the partner, if any.
func (e Expectation) String() string {
	return e.Place() + ": " + strings.TrimPrefix(fmt.Sprintf("%s %s", e.Heading, e.selection()), " ")
}

// selection returns the pattern, the check and the peer, with its versions, role and partner.
func (e Expectation) selection() string {
	return fmt.Sprintf("%s %s%s%s", e.Pattern, e.key(), e.Version, e.seat())
}

// line returns the expectation as a line of the file.
func (e Expectation) line() string { return e.selection() + " " + e.Reason }

// seat returns the role and the partner as the line has them.
func (e Expectation) seat() string { return seatText(e.Role, e.Partner) }

func seatText(role Role, partner string) string {
	if partner != "" {
		partner = "/" + partner
	}
	return roleWords[role] + partner
}

// Place returns FILE:LINE.
func (e Expectation) Place() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// Flaky reports whether the failure may or may not occur, so that neither is unexpected.
func (e Expectation) Flaky() bool { return strings.HasPrefix(e.Reason, flakyMark) }

// Unfinished reports whether the reason is only a proposal, which a person has to complete.
func (e Expectation) Unfinished() bool { return strings.HasPrefix(e.ownReason(), unfinishedMark) }

// ownReason returns the reason without the mark of a flaky failure.
func (e Expectation) ownReason() string {
	return strings.TrimSpace(strings.TrimPrefix(e.Reason, flakyMark))
}

// InVersions reports whether the expectation applies to this version.
func (e Expectation) InVersions(version string) bool { return inVersions(e.Version, version) }

// On reports whether the expectation applies to this kernel.
func (e Expectation) On(kernel Kernel) bool { return e.Heading.Includes(kernel) }

// key returns CHECK@PEER, like Finding.Key.
func (e Expectation) key() string { return Finding{Check: e.Check, Peer: e.Peer}.Key() }

// keyForm matches CHECK@PEER with an optional version range, role and partner.
var keyForm = regexp.MustCompile(`^([a-z]+)@([^<>=:/]+)((?:>=[0-9]+(?:\.[0-9]+)*)?(?:<[0-9]+(?:\.[0-9]+)*)?)(:sends|:receives)?(?:/([^/:<>=]+))?$`)

// ParseExpectations reads a file of expected failures. It has blocks and lines:
//
//	CHECK@PEER[VERSIONS][:sends|:receives][/PARTNER] REASON
//	  SCENARIO[/TYPE]
//	  SCENARIO[/TYPE]
//
//	SCENARIO[/TYPE] CHECK@PEER[VERSIONS][:sends|:receives][/PARTNER] REASON
//
// A peer in role A sends, and one in role B receives. The peer reports its version in its answer to hello. ParseLines
// describes the rest.
func ParseExpectations(file string, text []byte) (list []Expectation, err error) {
	return ParseLines(file, text, LineForm{
		First: "SCENARIO", Name: "PEER", Checks: Checks, seats: true,
		Validate: func(list []Expectation) error {
			for _, e := range list {
				if err := e.validateVersions(); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// A LineForm says what the lines of a file are about. Files of expected failures and of accepted findings differ only
// in this.
type LineForm struct {
	First, Name string // what the pattern and the name after the check are called
	Checks      []Check
	Validate    func(list []Expectation) error // checks the expectations of a pattern

	seats bool // a role and a partner may follow the name
}

// ParseLines reads a file of blocks and lines. A block has one FIRST, a pattern, per line:
//
//	CHECK@NAME[VERSIONS] REASON
//	  FIRST
//	  FIRST
//
// A block with a single pattern can be written in a line, FIRST CHECK@NAME[VERSIONS] REASON. In patterns and in
// CHECK@NAME, {a,b} means either a or b. A line that begins with "#" is a comment. Blocks below a heading, such as
// [gvisor], [linux] or [linux>=6.2<6.7], apply only to that kernel. CHECK@NAME<8.4, CHECK@NAME>=8.1 and
// CHECK@NAME>=8.1<8.4 limit a block to these versions. If REASON begins with "flaky:", the failure may or may not
// occur. If it begins with "?", also after "flaky:", it is unfinished.
//
// Errors and expectations name the file, which ParseLines does not open.
func ParseLines(file string, text []byte, form LineForm) (list []Expectation, err error) {
	var heading Heading
	var block []Expectation // what its first line says, without patterns
	patterns := 0           // of the block
	ended := func() error {
		if block != nil && patterns == 0 {
			return fmt.Errorf("%s: no %s is below this line", block[0].Place(), form.First)
		}
		return nil
	}
	for i, l := range strings.Split(strings.TrimPrefix(string(text), byteOrderMark), "\n") {
		l = strings.TrimSpace(l)
		words, m := strings.Fields(l), headingForm.FindStringSubmatch(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		at := Expectation{Heading: heading, File: file, Line: i + 1, Head: i + 1}
		isFirst := strings.Contains(words[0], "@")
		var more []Expectation
		if len(words) == 1 && block != nil && m == nil && !isFirst {
			patterns++
			more, err = form.withPattern(block, l, i+1)
		} else if err = ended(); err != nil {
			return nil, err
		} else if block = nil; m != nil {
			heading, err = parseHeading(m[1])
		} else if isFirst {
			patterns = 0
			block, err = form.parse(at, words)
		} else if len(words) < 3 {
			err = fmt.Errorf("a line is %s CHECK@%s REASON, and the reason is required", form.First, form.Name)
		} else if more, err = form.parse(at, words[1:]); err == nil {
			more, err = form.withPattern(more, words[0], i+1)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at.Place(), err)
		}
		list = append(list, more...)
	}
	return list, ended()
}

// withPattern returns the expectations with a pattern, which is in this line.
func (form LineForm) withPattern(block []Expectation, text string, line int) (list []Expectation, err error) {
	pattern, err := ParsePattern(text)
	if err != nil {
		return nil, err
	}
	for _, e := range block {
		e.Pattern, e.Line = pattern, line
		list = append(list, e)
	}
	return list, form.Validate(list)
}

// parse returns an expectation, without a pattern, for each alternative in the braces of CHECK@NAME. The other words
// are the reason.
func (form LineForm) parse(e Expectation, words []string) (list []Expectation, err error) {
	e.Reason = strings.Join(words[1:], " ")
	if e.Reason == "" {
		return nil, fmt.Errorf("a block begins with CHECK@%s REASON, and the reason is required", form.Name)
	}
	if e.ownReason() == "" {
		return nil, fmt.Errorf("the reason after %q is missing", flakyMark)
	}
	if display.Line(e.Reason) != e.Reason {
		return nil, fmt.Errorf("not text: %q", e.Reason)
	}
	keys, err := expandBraces(words[0])
	if err != nil {
		return nil, fmt.Errorf("%q: %w", words[0], err)
	}
	for _, key := range keys {
		m := keyForm.FindStringSubmatch(key)
		if m == nil || !display.IsName(m[2]) || !slices.Contains(form.Checks, Check(m[1])) || !form.seats && m[4]+m[5] != "" {
			return nil, form.keyError(key)
		}
		e.Check, e.Peer, e.Version, e.Role, e.Partner = Check(m[1]), m[2], m[3], 0, m[5]
		for role, word := range roleWords {
			if m[4] == word {
				e.Role = role
			}
		}
		if _, err := ParsePattern(cmp.Or(e.Partner, "*")); err != nil {
			return nil, fmt.Errorf("%q: the partner: %w", key, err)
		}
		list = append(list, e)
	}
	return list, nil
}

func (form LineForm) keyError(key string) error {
	seats := " or both"
	if form.seats {
		seats = " or both, then :sends or :receives, then /PARTNER"
	}
	return fmt.Errorf("%q is not CHECK@%s, optionally followed by <VERSION, >=VERSION%s; checks are %v", key, form.Name, seats, form.Checks)
}

var (
	versionBound = regexp.MustCompile(`(>=|<)([0-9.]+)`)
	versionForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*`)
)

// inVersions reports whether a version is in a range such as ">=8.1<8.4". The range ""
// contains all versions. Any other range contains only versions that begin with a digit.
func inVersions(bounds, version string) bool {
	dotted := versionForm.FindString(version)
	for _, m := range versionBound.FindAllStringSubmatch(bounds, -1) {
		operator, bound := m[1], m[2]
		if dotted == "" {
			return false
		}
		less := slices.Compare(versionParts(dotted), versionParts(bound)) < 0
		if less != (operator == "<") {
			return false
		}
	}
	return true
}

// versionParts returns the integers of a dotted version, padded with zeros: 8.10 is later
// than 8.4, and 8.4 is 8.4.0.
func versionParts(version string) []int {
	list := make([]int, 16)
	for i, part := range strings.SplitN(version, ".", len(list)) {
		list[i], _ = strconv.Atoi(part)
	}
	return list
}

// Expectations contains the expected failures for a plan.
type Expectations struct {
	List  []Expectation
	Aside []Expectation // set aside: the peer is missing, or the kernel or version is a different one

	// StrictKernel makes an unexpected pass below a release heading a failure. Otherwise, such a pass
	// is as good as any other, because a vendor may have backported the change that fixed it.
	StrictKernel bool
}

// Expect selects the expectations that apply to at least one case of the whole plan on this
// kernel. It sets aside those that apply only to missing peers, other kernels or other versions.
// It returns an error if an expectation, or an alternative in its pattern, could not apply to any case.
func Expect(list []Expectation, kernel Kernel, scenarios []*Scenario, peers []*Peer, missing []*Peer, runner *Peer) (*Expectations, error) {
	x, err := selectExpectations(list, kernel, scenarios, peers, missing, runner)
	if err == nil {
		err = validateAlternatives(list, scenarios)
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// selectExpectations is Expect without the check of the alternatives.
func selectExpectations(list []Expectation, kernel Kernel, scenarios []*Scenario, peers []*Peer, missing []*Peer, runner *Peer) (*Expectations, error) {
	x := &Expectations{}
	here := byPeer(Plan(scenarios, peers, runner))
	all := Plan(scenarios, append(slices.Clone(peers), missing...), runner)
	anywhere := byPeer(all)
	for _, e := range list {
		if e.On(kernel) && e.selectsAny(here[e.Peer], e.Selects) {
			x.List = append(x.List, e)
			continue
		}
		if !e.selectsAny(anywhere[e.Peer], e.concerns) {
			return nil, e.unusable(all, scenarios, slices.Concat(peers, missing, []*Peer{runner, runner.Kernel()}))
		}
		x.Aside = append(x.Aside, e)
	}
	return x, nil
}

// selectsAny reports whether a case is selected. It matches the pattern only once for the cases of a group.
func (e *Expectation) selectsAny(groups [][]Case, selects func(Case) bool) bool {
	return slices.ContainsFunc(groups, func(group []Case) bool {
		return e.Pattern.matchParts(group[0].start()) && slices.ContainsFunc(group, selects)
	})
}

// byPeer returns the cases of each peer, because an expectation applies only to cases of its peer. A group contains the
// cases of one scenario on one type of socket.
func byPeer(cases []Case) map[string][][]Case {
	index := map[string][][]Case{}
	add := func(peer string, c Case) {
		groups := index[peer]
		last := len(groups) - 1
		if last < 0 || groups[last][0].Scenario.Name != c.Scenario.Name || groups[last][0].Type != c.Type {
			index[peer] = append(groups, []Case{c})
			return
		}
		groups[last] = append(groups[last], c)
	}
	for _, c := range cases {
		add(c.A.Name, c)
		if c.B != c.A {
			add(c.B.Name, c)
		}
	}
	return index
}

// unusable returns the error for an expectation that applies to none of the cases, which are all cases
// of the scenarios with these peers.
func (e Expectation) unusable(cases []Case, scenarios []*Scenario, peers []*Peer) error {
	var names []string
	for _, p := range peers {
		names = append(names, p.Name)
	}
	if !slices.Contains(names, e.Peer) {
		return fmt.Errorf("%s applies to no case: no peer is named %q%s", e, e.Peer, didYouMean(e.Peer, names))
	}
	return fmt.Errorf("%s applies to no case: %s", e, e.mismatch(cases, scenarios, names))
}

// mismatch explains why the expectation applies to none of the cases.
func (e Expectation) mismatch(cases []Case, scenarios []*Scenario, peers []string) string {
	matches, takesPart, sits := false, false, false
	for _, c := range cases {
		if e.Pattern.matchParts(c.start()) {
			matches = true
			takesPart = takesPart || c.A.Name == e.Peer || c.B.Name == e.Peer
			sits = sits || e.sits(c, RoleA) || e.sits(c, RoleB)
		}
	}
	switch {
	case !matches:
		var starts []start
		for _, s := range scenarios {
			starts = append(starts, startsOf(s)...)
		}
		return e.Pattern.mismatch(starts, nil)
	case !slices.ContainsFunc(peers, e.pairs):
		return fmt.Sprintf("no peer matches %q%s", e.Partner, didYouMean(e.Partner, peers))
	case !takesPart:
		return fmt.Sprintf("the pattern selects no case of %s", e.Peer)
	case !sits:
		return fmt.Sprintf("the pattern selects cases of %s, but none with %q", e.Peer, e.seat())
	}
	// the check is cloexec
	return fmt.Sprintf("it selects cases of %s, but none in which it receives a descriptor", e.Peer)
}

// peerWord matches the words of a partner that can be names of peers.
var peerWord = regexp.MustCompile(`[^*!]+`)

// ValidateExpectations returns an error if an expectation, or an alternative in its pattern, could not
// apply to any case of the scenarios. It considers every kernel, and every version of the peers that the expectations
// name.
func ValidateExpectations(list []Expectation, scenarios []*Scenario) error {
	for _, e := range list {
		if _, err := selectExpectations([]Expectation{e}, Kernel{Kind: KernelLinux}, scenarios, e.namedPeers(), nil, Missing(RunnerName, "")); err != nil {
			return err
		}
	}
	return validateAlternatives(list, scenarios)
}

// namedPeers returns the peers that the expectation names, apart from the runner.
func (e Expectation) namedPeers() (peers []*Peer) {
	for _, name := range append(peerWord.FindAllString(e.Partner, -1), e.Peer) {
		if name != RunnerName && name != KernelName {
			peers = append(peers, Missing(name, ""))
		}
	}
	return peers
}

// ValidateReasons returns an error that names the line of every unfinished reason.
func ValidateReasons(list []Expectation) error {
	var errs []error
	seen := map[string]bool{} // several expectations can have the same reason
	for _, e := range list {
		e.Line = e.Head
		if e.Unfinished() && !seen[e.Place()] {
			seen[e.Place()] = true
			errs = append(errs, fmt.Errorf("%s: unfinished reason: %s", e.Place(), e.Reason))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, fmt.Errorf("complete the reasons of these lines, and remove the %q", unfinishedMark))
	}
	return errors.Join(errs...)
}

// Selects reports whether the expectation applies to the case. The case must match the pattern,
// include the peer in its role, with its partner and in a version within the range, and be able to fail the check.
func (e *Expectation) Selects(c Case) bool {
	return e.selects(c, func(role Role) bool { return e.plays(c, role) && inVersions(e.Version, c.Peer(role).Hello.Version) })
}

// concerns is like Selects, but accepts any version.
func (e *Expectation) concerns(c Case) bool {
	return e.selects(c, func(role Role) bool { return e.plays(c, role) })
}

// SelectsName is like Selects for a case with this name, but accepts any version, and does not ask whether the case can
// fail the check.
func (e Expectation) SelectsName(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) != 5 {
		return false
	}
	c := Case{&Scenario{Name: parts[0] + "/" + parts[1]}, parts[2], &Peer{Name: parts[3]}, &Peer{Name: parts[4]}}
	return e.selects(c, func(role Role) bool { return e.sits(c, role) })
}

func (e *Expectation) selects(c Case, plays func(Role) bool) bool {
	return (plays(RoleA) || plays(RoleB)) && e.Pattern.matchParts(c.start())
}

// plays reports whether the peer has this role in the case, as the expectation says, and can fail the check in it.
func (e *Expectation) plays(c Case, role Role) bool {
	return e.sits(c, role) && (e.Check != CheckCloexec || c.Scenario.receives(role))
}

// sits reports whether the peer has this role in the case, as the expectation says.
func (e *Expectation) sits(c Case, role Role) bool {
	return c.Peer(role).Name == e.Peer && (e.Role == 0 || e.Role == role) && e.pairs(c.partner(role).Name)
}

// pairs reports whether the expectation is about cases with this partner.
func (e *Expectation) pairs(partner string) bool {
	return e.Partner == "" || matchPart(e.Partner, partner)
}

// For returns the expectations that apply to the case. Each case asks several times, and few expectations of the long
// list are about its peers.
func (x *Expectations) For(c Case) (list []Expectation) {
	for i := range x.List {
		e := &x.List[i]
		if (e.Peer == c.A.Name || e.Peer == c.B.Name) && e.Selects(c) {
			list = append(list, *e)
		}
	}
	return list
}

// Builtin reports whether the repository's own list expects the finding.
func (x *Expectations) Builtin(c Case, f Finding) bool {
	return slices.ContainsFunc(x.For(c), func(e Expectation) bool { return e.Builtin && e.key() == f.Key() })
}

// MarkBuiltin sets Builtin in the expectations that are also in the repository's own list, which may have been read
// from a file with another name.
func MarkBuiltin(list, own []Expectation) {
	lines := map[string]bool{}
	for _, e := range own {
		lines[e.Heading.String()+e.line()] = true
	}
	for i, e := range list {
		list[i].Builtin = lines[e.Heading.String()+e.line()]
	}
}

// flakyKeys returns the CHECK@PEER of each flaky expectation in the list. The failure may be
// missing even if another expectation in the list is not flaky.
func flakyKeys(list []Expectation) map[string]bool {
	keys := map[string]bool{}
	for _, e := range list {
		if e.Flaky() {
			keys[e.key()] = true
		}
	}
	return keys
}

// Hangs reports whether the peer in this role is expected not to answer. If that peer is the
// runner, Hangs also returns true if the other peer is expected to give a wrong answer,
// because the runner may then wait in vain for a message from that peer. A flaky expectation does
// not count, because the answer may still arrive.
func (x *Expectations) Hangs(c Case, role Role) bool {
	name := c.Peer(role).Name
	list := x.For(c)
	flaky := flakyKeys(list)
	return slices.ContainsFunc(list, func(e Expectation) bool {
		hangs := e.Check == CheckHang && e.Peer == name
		waitsInVain := name == RunnerName && e.Peer != name && e.Check == CheckAnswer
		return (hangs || waitsInVain) && !flaky[e.key()]
	})
}

// RunnerFails returns the reason why the case cannot be used to judge its peers, or "" if it can.
// If the runner is expected to fail the scenario even when it takes both roles, this kernel does
// not behave as the scenario assumes, so cases with other peers say nothing about them. This also
// applies if the runner fails only sometimes.
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

// senderWrong reports whether there is a finding about the sender and peer is the receiver.
// In that case, the result shows nothing about peer.
func senderWrong(r *Result, peer string) bool {
	return peer != r.Case.A.Name && slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return f.Peer == r.Case.A.Name && f.Check != CheckCloexec
	})
}

// SetVerdict sets the verdict of a result by comparing its findings with the expectations. It
// leaves verdicts other than Pass and Fail unchanged. It also marks the findings that are expected. If a flaky
// expectation and another one apply to the same check of the same peer, the failure may be missing. So may one that is
// expected below a release heading, unless StrictKernel is set.
func (x *Expectations) SetVerdict(r *Result) {
	if r.Verdict != Pass && r.Verdict != Fail {
		return
	}
	unexpected := map[string]bool{}
	for _, f := range r.Findings {
		unexpected[f.Key()] = true
	}
	list := x.For(r.Case)
	flaky := flakyKeys(list)
	for _, e := range list {
		_, found := unexpected[e.key()]
		if !found && flaky[e.key()] {
			continue
		}
		if found {
			unexpected[e.key()] = false
			r.Reasons = append(r.Reasons, e.Reason)
		} else if (e.Check != CheckCloexec || slices.Contains(r.CloexecChecked, e.Peer)) && !senderWrong(r, e.Peer) {
			if e.Heading.Releases != "" && !x.StrictKernel {
				r.KernelPasses = append(r.KernelPasses, e.String())
			} else {
				r.Gone = append(r.Gone, e.String())
			}
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Expected = !unexpected[f.Key()]
	}
	switch {
	case slices.Contains(slices.Collect(maps.Values(unexpected)), true):
		r.Verdict = Fail
	case len(r.Gone) > 0:
		r.Verdict = UnexpectedPass
		r.Why = "expected to fail, but does not: " + strings.Join(r.Gone, "; ")
	case len(r.Findings) > 0:
		r.Verdict = Expected
	}
	if len(r.KernelPasses) > 0 && !r.Unexpected() {
		r.Why = KernelPassesWhy + ": " + strings.Join(r.KernelPasses, "; ")
	}
}

// KernelPassesWhy says why the expectations in Result.KernelPasses may not apply.
const KernelPassesWhy = "this kernel does not fail it; a vendor may have backported the change"
