package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/expected"
)

// ParseExpectations reads a list of expected failures.
func ParseExpectations(file string, text []byte) ([]expected.Line, error) {
	form := expected.Form{First: "SCENARIO", Name: "PEER", Roles: true}
	for _, check := range Checks {
		form.Checks = append(form.Checks, string(check))
	}
	return expected.Parse(file, text, form)
}

// Lists are lists of expected failures that apply together. An update rewrites the last one.
type Lists struct {
	Given   []expected.Line // of the others
	Last    []expected.Line
	File    string // the last one, or ""
	Text    []byte
	Missing bool // the file does not exist; the text is that of a list without lines
}

// ReadLists reads files of expected failures, which follow the given lines. With update, the last file need not exist.
// Otherwise, the error about a missing file has the hint how to create it.
func ReadLists(given []expected.Line, files []string, update bool, hint string) (l Lists, err error) {
	l.Given = given
	for i, file := range files {
		l.Given, l.File = l.All(), file
		l.Text, err = os.ReadFile(file)
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case missing && update && i == len(files)-1:
			l.Missing, l.Text, err = true, []byte("# Expected failures: SCENARIO CHECK@PEER REASON\n"), nil
		case missing:
			err = fmt.Errorf("%w (%s)", err, hint)
		}
		if err == nil {
			l.Last, err = ParseExpectations(file, l.Text)
		}
		if err != nil {
			return Lists{}, err
		}
	}
	return l, nil
}

// All returns the lines of all lists.
func (l Lists) All() []expected.Line { return slices.Concat(l.Given, l.Last) }

// Expectations contains the expected failures for a plan.
type Expectations struct {
	List   []expected.Line
	Aside  []expected.Line // set aside: the peer is missing, or has another version
	System expected.System

	// StrictKernel makes a missing failure of a line about releases of Linux an unexpected pass. Otherwise, it is as good
	// as any other pass, because a vendor may have backported the change that fixed it.
	StrictKernel bool
}

// Expect selects the lines about peers of the plan, in their versions, and sets aside the others. It also returns an
// error for each line, or alternative in its pattern, that could not apply to any case.
func Expect(list []expected.Line, system expected.System, scenarios []*Scenario, peers []*Peer, missing []*Peer, runner *Peer) (x *Expectations, unmatched []error) {
	x = &Expectations{System: system}
	versions := map[string]string{} // of the peers of the plan
	for _, p := range append(slices.Clone(peers), runner, runner.Kernel()) {
		versions[p.Name] = system.Version(p.Name, p.Hello.Version)
	}
	names := slices.Sorted(maps.Keys(versions))
	for _, p := range missing {
		names = append(names, p.Name)
	}
	for _, l := range list {
		if version, here := versions[l.Peer]; here && expected.InVersions(l.Versions, version) {
			x.List = append(x.List, l)
		} else {
			x.Aside = append(x.Aside, l)
		}
	}
	return x, expected.Validate(list, seatsOf(scenarios), names)
}

// ValidateExpectations returns an error if a line, or an alternative in its pattern, could not apply to any case of the
// scenarios, whatever the peers, their versions and the kernel are.
func ValidateExpectations(list []expected.Line, scenarios []*Scenario) error {
	return errors.Join(expected.Validate(list, seatsOf(scenarios), nil)...)
}

// startsOf returns the start of every case of the scenario.
func startsOf(s *Scenario) (list []expected.Start) {
	for _, socketType := range s.Types {
		list = append(list, Case{Scenario: s, Type: socketType}.start())
	}
	return list
}

// seatsOf returns the seats in all cases of the scenarios, as [expected.Validate] needs them.
func seatsOf(scenarios []*Scenario) (list []expected.Seat) {
	for _, s := range scenarios {
		takers := map[Role]string{}
		switch s.Play {
		case PlayKernel:
			takers = map[Role]string{RoleA: KernelName, RoleB: KernelName}
		case PlaySender:
			takers[RoleB] = RunnerName
		case PlayReceiver:
			takers[RoleA] = RunnerName
		}
		for _, start := range startsOf(s) {
			for role, word := range roleWords {
				list = append(list, expected.Seat{Start: start, Role: word, Peer: takers[role], NoCloexec: !s.receives(role)})
			}
		}
	}
	return list
}

// roleWords has the words of lists for the roles of a peer.
var roleWords = map[Role]string{RoleA: expected.Sends, RoleB: expected.Receives}

// seat returns the seat of the peer in this role.
func (x *Expectations) seat(c Case, role Role) expected.Seat {
	p := c.Peer(role)
	return expected.Seat{Start: c.start(), Role: roleWords[role], Peer: p.Name,
		Version: x.System.Version(p.Name, p.Hello.Version), NoCloexec: !c.Scenario.receives(role)}
}

func (x *Expectations) seats(c Case) []expected.Seat {
	return []expected.Seat{x.seat(c, RoleA), x.seat(c, RoleB)}
}

// For returns the lines that apply to the case. Each case asks several times, and few lines of the long list are about
// its peers.
func (x *Expectations) For(c Case) (list []expected.Line) {
	var seats []expected.Seat
	for i := range x.List {
		l := &x.List[i]
		if l.Peer != c.A.Name && l.Peer != c.B.Name {
			continue
		}
		if seats == nil {
			seats = x.seats(c)
		}
		if l.SelectsAny(seats) {
			list = append(list, *l)
		}
	}
	return list
}

// Builtin reports whether the repository's own lists expect the finding.
func (x *Expectations) Builtin(c Case, f Finding) bool {
	return slices.ContainsFunc(x.For(c), func(l expected.Line) bool { return l.Builtin && l.Key() == f.Key() })
}

// Hangs reports whether the peer in this role is expected not to answer. If that peer is the runner, Hangs also returns
// true if the other peer is expected to give a wrong answer, because the runner may then wait in vain for a message
// from that peer. A flaky line does not count, because the answer may still arrive.
func (x *Expectations) Hangs(c Case, role Role) bool {
	name := c.Peer(role).Name
	list, seats := x.For(c), x.seats(c)
	return slices.ContainsFunc(list, func(l expected.Line) bool {
		hangs := l.Check == string(CheckHang) && l.Peer == name
		waitsInVain := name == RunnerName && l.Peer != name && l.Check == string(CheckAnswer)
		return (hangs || waitsInVain) && !expected.MayPass(list, l.Key(), seats)
	})
}

// RunnerFails returns the reason why the case cannot be used to judge its peers, or "" if it can. If the runner is
// expected to fail the scenario even when it takes both roles, this kernel does not behave as the scenario assumes, so
// cases with other peers say nothing about them. This also applies if the runner fails only sometimes.
func (x *Expectations) RunnerFails(c Case) string {
	runner := &Peer{Name: RunnerName}
	alone := Case{Scenario: c.Scenario, Type: c.Type, A: runner, B: runner}
	if list := x.For(alone); len(list) > 0 && !c.Kernel() && c.Name() != alone.Name() {
		return "the runner fails it with itself: " + list[0].Reason
	}
	return ""
}

// A ReportedRun is one with a report.
type ReportedRun struct {
	System       expected.System
	StrictKernel bool              // as in Expectations
	Versions     map[string]string // of the peers that took part, by name; "" if unknown
	Known        []string          // the peers that lines may be about
	Given        []string          // the peers that the run was about; see Case.About
	Plan         []Case            // the cases of a whole run; nil if they are all cases of these peers
	Results      []Result
}

// UpdateExpectations updates the last list after a run of all scenarios, or of all peer scenarios. It also removes what
// applies to no case from it.
func UpdateExpectations(lists Lists, scenarios []*Scenario, run ReportedRun) (u expected.Update, err error) {
	if err = run.setCases(scenarios); err != nil {
		return u, err
	}
	pruned := expected.Prune(lists.Text, lists.Last, seatsOf(scenarios), run.Known)
	last, err := ParseExpectations(lists.File, pruned.Text)
	if err != nil {
		return u, err
	}
	u = expected.Rewrite(pruned.Text, last, lists.Given, run.StrictKernel, run.shown())
	u.Removed, u.Added = append(pruned.Removed, u.Removed...), append(pruned.Added, u.Added...)
	return u, nil
}

// shown returns what the results show about each check of each peer.
func (run ReportedRun) shown() (list []expected.Shown) {
	x := &Expectations{System: run.System}
	for i := range run.Results {
		r := &run.Results[i]
		a, b := x.seat(r.Case, RoleA), x.seat(r.Case, RoleB)
		bySeat := [][]expected.Seat{{a}, {b}}
		switch {
		case r.Verdict == Unsupported:
			continue
		case a.Peer == b.Peer:
			bySeat = [][]expected.Seat{{a, b}}
		}
		for _, seats := range bySeat {
			for _, check := range Checks {
				s := expected.Shown{Seats: seats, Check: string(check), Case: r.Name, Flaky: r.Verdict == Flaky}
				key := Finding{Check: check, Peer: seats[0].Peer}.Key()
				if i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Key() == key }); i >= 0 {
					s.Failed, s.Text = true, cmp.Or(r.Findings[i].Short, Faults[check]+": "+r.Findings[i].Text)
				} else if !r.shows(s.Check, seats[0].Peer) {
					continue
				}
				list = append(list, s)
			}
		}
	}
	return list
}

// setCases sets the Case of each result. It returns an error unless there is a result for every case of the scenarios
// with these peers, or of the peer scenarios, no other results, and no case that was not run.
func (run ReportedRun) setCases(scenarios []*Scenario) error {
	runner := RunnerPeer()
	runner.Hello.Version = run.Versions[RunnerName]
	var peers []*Peer
	for name, version := range run.Versions {
		if name != RunnerName {
			peers = append(peers, &Peer{Name: name, Hello: contract.Hello{Version: version}})
		}
	}
	at := map[string]*Result{}
	for i := range run.Results {
		at[run.Results[i].Name] = &run.Results[i]
	}
	plan := run.Plan
	if plan == nil {
		plan = slices.DeleteFunc(Plan(scenarios, peers, runner), func(c Case) bool { return !c.About(run.Given) })
	}
	if !slices.ContainsFunc(run.Results, Result.Kernel) {
		plan = slices.DeleteFunc(plan, Case.Kernel)
	}
	for _, c := range plan {
		r := at[c.Name()]
		switch {
		case r == nil:
			return fmt.Errorf("the report is not of a whole run, probably because of --run, --skip, --few-pairs or --fail-fast: %s was not run", c.Name())
		case r.Verdict == NotRun:
			advice := ""
			if peer := r.AskedNoMore; peer != "" {
				advice = fmt.Sprintf(". List its failures by hand (** CHECK@%s REASON), or fix them", peer)
			}
			return fmt.Errorf("the report is not of a whole run: %s was not run: %s%s", c.Name(), r.Why, advice)
		case r.Hash != c.Scenario.Hash:
			return fmt.Errorf("the report is of a different version of %s", c.Scenario.Name)
		}
		r.Case = c
		for _, f := range r.Findings {
			switch {
			case f.Peer != c.A.Name && f.Peer != c.B.Name:
				return fmt.Errorf("the report has a finding about %q, which does not take part in %s", f.Peer, c.Name())
			case f.Check == CheckCloexec && !slices.Contains(r.CloexecChecked, f.Peer):
				return fmt.Errorf("the report is from an older version of scm, and does not say where close-on-exec was checked: %s", c.Name())
			}
		}
	}
	if len(plan) != len(run.Results) {
		return fmt.Errorf("the report has %d cases, but the scenarios with its peers have %d", len(run.Results), len(plan))
	}
	return nil
}
