package interop

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// faultyProgram is the program of the faulty peer, and buildDir its directory, once buildFaulty has been called.
var faultyProgram, buildDir string

func TestMain(m *testing.M) {
	process.Main()
	reexec.Main()
	fdtest.UseShortTemp()
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// buildFaulty builds the faulty peer's program once.
var buildFaulty = sync.OnceValue(func() (err error) {
	if buildDir, err = os.MkdirTemp("", "scm-faulty peers-"); err != nil {
		return err
	}
	if buildDir, err = filepath.EvalSymlinks(buildDir); err != nil {
		return err
	}
	faultyProgram = filepath.Join(buildDir, "faulty")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", faultyProgram, "./peers/faulty")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// faulty returns the faulty peer with a fault, or without one.
func faulty(t *testing.T, fault string) *scenario.Peer {
	t.Helper()
	fdtest.Must(t, buildFaulty())
	p := scenario.Program("faulty", faultyProgram)
	if fault != "" {
		p.Command = append(p.Command, "--fault", fault)
	}
	return p
}

// casesWith returns the cases that the patterns select from all scenarios with the peer and the runner.
func casesWith(t *testing.T, p *scenario.Peer, patterns ...string) []scenario.Case {
	t.Helper()
	scenarios, err := catalogue.Scenarios()
	fdtest.Must(t, err)
	f := scenario.Filter{}
	for _, text := range patterns {
		pattern, err := expected.ParsePattern(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		f.Run = append(f.Run, pattern)
	}
	list, err := f.Apply(scenario.Plan(scenarios, []*scenario.Peer{p}, runner(t)))
	fdtest.Must(t, err)
	return list
}

// runClean runs the cases, and checks that each has a result and that no descriptor or process is left.
// A timeout of 0 means the default.
func runClean(t *testing.T, list []scenario.Case, timeout time.Duration) []scenario.Result {
	t.Helper()
	checkNothingLeft(t)
	return runUnchecked(t, list, timeout)
}

// runSeparately runs each case with new peer processes, so that no verdict depends on an earlier case.
// If a peer hangs although no check in checks is hang, it runs the case again with the default
// timeout, because any peer can be late on a busy machine.
func runSeparately(t *testing.T, list []scenario.Case, checks []scenario.Check, timeout time.Duration) []scenario.Result {
	t.Helper()
	late := func(f scenario.Finding) bool { return f.Check == scenario.CheckHang }
	results := make([][]scenario.Result, len(list))
	jobs := make(chan bool, 2)
	var running sync.WaitGroup
	for i, c := range list {
		jobs <- true
		running.Add(1)
		go func() {
			defer running.Done()
			one := []scenario.Case{c}
			results[i] = runUnchecked(t, one, timeout)
			hangs := slices.ContainsFunc(results[i], func(r scenario.Result) bool { return slices.ContainsFunc(r.Findings, late) })
			if hangs && !slices.Contains(checks, scenario.CheckHang) {
				results[i] = runUnchecked(t, one, process.DefaultTimeout)
			}
			<-jobs
		}()
	}
	running.Wait()
	return slices.Concat(results...)
}

// runUnchecked runs the cases, and checks only that each has a result, and that the judge finds the same when it judges
// the log of a case again. Other runs may be in progress.
func runUnchecked(t *testing.T, list []scenario.Case, timeout time.Duration) []scenario.Result {
	t.Helper()
	o := Run(context.Background(), list, nil, Options{Jobs: 2, Timeout: timeout, Observe: func(r *judge.Log) {
		if again := r.Judge(r.Setup.Case.Scenario); !reflect.DeepEqual(again, r.Found) {
			t.Errorf("%s: judged again: %+v, not %+v", r.Setup.Case.Name(), again, r.Found)
		}
	}})
	if len(o.Results) != len(list) {
		t.Errorf("%d results for %d cases", len(o.Results), len(list))
	}
	return o.Results
}

func TestPeerWithoutFaultPasses(t *testing.T) {
	all := casesWith(t, probed(t, ""))
	if !repeat() {
		// The tests of the catalogue run the kernel scenarios on their first socket type. Package scm runs all other
		// scenarios on every type, so one type is enough here, the same as in TestFaults.
		var kernel, itself, other []scenario.Case
		for _, c := range all {
			switch {
			case c.Kernel() && c.Type != c.Scenario.Types[0]:
				kernel = append(kernel, c)
			case c.Kernel():
			case c.A == c.B:
				itself = append(itself, c)
			default:
				other = append(other, c)
			}
		}
		all = slices.Concat(kernel, oneTypeEach(itself), oneTypeEach(other))
	}
	list, left := splitByPrivilege(all)
	absent := unavailableKinds()
	for _, r := range runClean(t, list, 0) {
		switch {
		case r.Verdict == scenario.Unsupported && absent.MatchString(r.Why):
			t.Logf("skip: %s: %s", r.Name, r.Why)
		default:
			wantPass(t, r)
		}
	}
	for _, r := range runClean(t, left, 0) {
		if r.Verdict != scenario.Unsupported || r.Why != kinds.LacksRoot() || r.Obstacle.Reason != scenario.ReasonRoot {
			t.Errorf("%s: got %s, want unsupported: %s", r.Name, outcome(r), kinds.LacksRoot())
		}
	}
	if len(left) > 0 {
		t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
	}
}

// wantPass fails the test if a case did not pass.
func wantPass(t *testing.T, r scenario.Result) {
	t.Helper()
	if r.Verdict != scenario.Pass {
		t.Errorf("%s: got %s, want pass", r.Name, outcome(r))
	}
}

// unavailableKinds matches the reason why a case is unsupported if it needs a kind of file that not
// every machine has, or that only root can make.
func unavailableKinds() *regexp.Regexp {
	kinds := "kvm|fuse|inotify"
	if os.Geteuid() != 0 {
		kinds += "|bpf|fanotify|mount"
	}
	return regexp.MustCompile(`^this (system has no|user may not create a) (` + kinds + `): `)
}

// failure matches the line of a transcript with an answer to a failed call.
var failure = regexp.MustCompile(`^[AB]<&? err `)

// A library may reject control messages other than SCM_RIGHTS, give up a connection after a
// truncation, and send only part of a message with more buffers than one system call accepts. It may
// also close its socket when a call fails, at once or later, or leave it open, if its peer says so in
// hello. In a socket that is still open, a file may also be left in the queue.
// If no call fails, it makes no difference when the library closes, so such cases run once. By
// default each scenario runs on one type of socket.
func TestStrictLibraryConforms(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the user makes no difference to this library")
	}
	absent := unavailableKinds()
	failed := map[string]bool{} // by name of case
	for _, when := range append(slices.Sorted(maps.Keys(fault.Closers)), "undeclared") {
		t.Run(when, func(t *testing.T) {
			declared := when != "undeclared"
			args := []string{"--closes", when}
			if !declared {
				args = []string{"--strict"}
			}
			p := probed(t, "", args...)
			if p.Hello.Closes != declared {
				t.Fatalf("%q: in hello, closes is %v, want %v", p.Command, p.Hello.Closes, declared)
			}
			list, left := splitByPrivilege(casesWith(t, p))
			if len(left) > 0 {
				t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
			}
			list = slices.DeleteFunc(list, func(c scenario.Case) bool {
				return c.A != p && c.B != p || len(failed) > 0 && !repeat() && !failed[c.Name()]
			})
			if !repeat() {
				list = oneTypeEach(list)
			}
			for _, r := range runClean(t, list, 0) {
				failed[r.Name] = failed[r.Name] || slices.ContainsFunc(r.Transcript, failure.MatchString)
				switch {
				case r.Verdict == scenario.Unsupported && absent.MatchString(r.Why):
					t.Logf("skip: %s: %s", r.Name, r.Why)
				case r.Verdict == scenario.Unsupported && !declared && r.Why == "faulty: answered unsupported":
				default:
					wantPass(t, r)
				}
			}
			t.Logf("%d cases", len(list))
			if len(list) < 30 {
				t.Error("in too few cases a call fails")
			}
		})
	}
}

// A peer that closed its standard error before hello can receive a descriptor as 2.
func TestPeerWithoutStandardError(t *testing.T) {
	p := probed(t, "", "--no-stderr")
	for _, r := range runClean(t, casesWith(t, p, "basics/**", "limits/counts-sweep"), 0) {
		wantPass(t, r)
	}
}

// The first thread of a peer, whose ID is that of the process, may end before the others. The kernel then shows no
// descriptors of that thread.
func TestPeerWithoutFirstThread(t *testing.T) {
	list := casesWith(t, probed(t, "", "--no-leader"),
		"basics/**", "death/inflight-sender-killed", "resources/recv-emfile-*", "kinds/kind-shared-*")
	if !repeat() {
		list = oneTypeEach(list)
	}
	for _, r := range runClean(t, list, 0) {
		wantPass(t, r)
	}
}

// TMPDIR may be relative. If its name contains a space or a newline, which no command can express, the run does not
// start.
func TestTemporaryFolder(t *testing.T) {
	list := casesWith(t, faulty(t, ""), "sockets/**", "blocking/**/runner/runner")
	t.Chdir(t.TempDir())
	for _, name := range []string{"relative", "with space", "with\nnewline"} {
		fdtest.Must(t, os.Mkdir(name, 0o777))
		t.Setenv("TMPDIR", name)
		o := Run(context.Background(), list, nil, Options{Jobs: 2})
		if name != "relative" {
			if o.Broken == nil || !strings.Contains(o.Broken.Error(), "TMPDIR") || len(o.Results) > 0 {
				t.Errorf("TMPDIR=%q: got %v and %d results, want an error", name, o.Broken, len(o.Results))
			}
			continue
		}
		for _, r := range o.Results {
			if r.Verdict != scenario.Pass && r.Verdict != scenario.Unsupported {
				t.Errorf("TMPDIR=%q: %s: got %s, want pass or unsupported", name, r.Name, outcome(r))
			}
		}
		if o.Broken != nil || len(o.Results) != len(list) {
			t.Errorf("TMPDIR=%q: %v; got %d results, want %d", name, o.Broken, len(o.Results), len(list))
		}
	}
}

// splitByPrivilege splits cases into those that this user can run, and those that need root.
func splitByPrivilege(all []scenario.Case) (list, left []scenario.Case) {
	for _, c := range all {
		if kinds.LacksRoot() != "" && (len(c.Scenario.Users) > 0 || slices.Contains(c.Scenario.Needs, "root")) {
			left = append(left, c)
		} else {
			list = append(list, c)
		}
	}
	return list, left
}

// repeat reports whether tests also run what only repeats the rest: TestFaults on every socket type, for example.
func repeat() bool { return os.Getenv("SCM_MUTANTS") == "full" }

// A namedFault is a fault of the faulty peers.
type namedFault struct {
	name string
	fault.Fault
}

// timeout returns how long the runner waits for an answer or for the end of a file, or 0 for
// its default.
func (f namedFault) timeout() time.Duration {
	if f.Slow {
		return slowLimit
	}
	return 0
}

// allFaults returns the faults that a scenario finds by itself, sorted by name.
func allFaults() (list []namedFault) {
	all := fault.All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !all[name].Process {
			list = append(list, namedFault{name, all[name]})
		}
	}
	return list
}

// slowLimit is the time limit of faults with which an answer or a pipe's end never arrives.
const slowLimit = 400 * time.Millisecond

// faultsNamedBy returns the faults in a scenario's "Red:" line. The scenario fails with each of them.
func faultsNamedBy(s *scenario.Scenario) []string {
	for _, l := range s.Rule {
		if names, ok := strings.CutPrefix(l, "Red: "); ok {
			return strings.Split(names, ", ")
		}
	}
	return nil
}

// casesOfFault returns the cases of a faulty peer with the runner whose scenarios name the fault.
func casesOfFault(t *testing.T, fault namedFault, p *scenario.Peer) []scenario.Case {
	return slices.DeleteFunc(casesWith(t, p), func(c scenario.Case) bool {
		return c.A == c.B || c.A != p && c.B != p || !slices.Contains(faultsNamedBy(c.Scenario), fault.name) ||
			fault.EndsPair && c.Type != c.Scenario.Types[0]
	})
}

// oneTypeEach keeps the cases of each scenario on one of its socket types, whichever other scenarios are in the list.
func oneTypeEach(list []scenario.Case) []scenario.Case {
	types := map[*scenario.Scenario]string{}
	return slices.DeleteFunc(slices.Clone(list), func(c scenario.Case) bool {
		if types[c.Scenario] == "" {
			var on []string
			for _, other := range list {
				if other.Scenario == c.Scenario && !slices.Contains(on, other.Type) {
					on = append(on, other.Type)
				}
			}
			types[c.Scenario] = on[int(c.Scenario.Hash[1])%len(on)]
		}
		return c.Type != types[c.Scenario]
	})
}

// inTurn keeps the cases of the first scenario that names the fault, and of those whose turn it is to run with this one
// of the faulty peers that they name.
func inTurn(list []scenario.Case, name string) []scenario.Case {
	var first *scenario.Scenario
	return slices.DeleteFunc(slices.Clone(list), func(c scenario.Case) bool {
		if first == nil {
			first = c.Scenario
		}
		peers := faultsNamedBy(c.Scenario)
		turn := int(c.Scenario.Hash[0]) % len(peers)
		return c.Scenario != first && slices.Index(peers, name) != turn
	})
}

// A "Red:" line names only faults that exist.
func TestNamedFaults(t *testing.T) {
	scenarios, err := catalogue.Scenarios()
	fdtest.Must(t, err)
	all := fault.All()
	for _, s := range scenarios {
		for _, name := range faultsNamedBy(s) {
			if _, ok := all[name]; !ok {
				t.Errorf("%s: no such fault: %s", s.Name, name)
			}
		}
	}
}

// Each scenario that names a fault finds it. By default each scenario runs with one of the faulty peers that it names.
// With SCM_MUTANTS=full it runs with all.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test runs the scenarios with every fault")
	}
	type faultRun struct {
		list, left []scenario.Case
		results    []scenario.Result
	}
	faults := allFaults()
	runs := make([]faultRun, len(faults))
	var waiting sync.WaitGroup
	slots := make(chan bool, 4) // the slow faults wait for time limits, so run several at once
	checkNothingLeft(t)
	for i, fault := range faults {
		p := probed(t, fault.name)
		runs[i].list, runs[i].left = splitByPrivilege(casesOfFault(t, fault, p))
		if !repeat() {
			runs[i].list = oneTypeEach(inTurn(runs[i].list, fault.name))
		}
		slots <- true
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			runs[i].results = runSeparately(t, runs[i].list, fault.Checks, fault.timeout())
			<-slots
		}()
	}
	waiting.Wait()
	for i, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			list, left := runs[i].list, runs[i].left
			if len(left) > 0 {
				t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
			}
			if len(list)+len(left) == 0 {
				t.Error("no scenario names the fault")
			}
			reported := map[string]bool{} // by scenario
			for _, r := range runs[i].results {
				if r.Verdict != scenario.Pass && r.Verdict != scenario.Fail {
					t.Errorf("%s: got %s, want pass or fail", r.Name, outcome(r))
				}
				for _, f := range r.Findings {
					if f.Peer != "faulty" {
						t.Errorf("%s: the finding is about another peer than faulty: %s", r.Name, f)
					}
					if slices.Contains(fault.Checks, f.Check) && strings.Contains(f.Text, fault.Text) {
						reported[r.Case.Scenario.Name] = true
					}
				}
			}
			for _, c := range list {
				if !reported[c.Scenario.Name] {
					t.Errorf("%s names the fault, but has no %s finding with %q", c.Scenario.Name, fault.Checks, fault.Text)
				}
			}
		})
	}
}

// If both ends of a pipe are files of a case, the runner finds a leak of either.
func TestHolderOfEitherEnd(t *testing.T) {
	for _, c := range []struct{ fault, sent, want string }{
		{"", "a,b", "[]"},
		{"park", "a", "[leak@faulty: a is still open somewhere after the end of the case]"},
		{"park", "b", "[leak@faulty: b is still open somewhere after the end of the case]"},
	} {
		for _, kind := range []string{"pipe-r", "pipe-w"} {
			s := mustParse(t, head+"play receiver\n"+
				"files a="+kind+" b=end:a\nA> send payload=61 fds="+c.sent+"\nA< ok n=1\n"+
				"B> recv bytes=16 fds=2\nB< ok n=1 payload=61 fds="+c.sent+"\n")
			p := probed(t, c.fault)
			timeout := process.DefaultTimeout
			if c.fault != "" {
				timeout = slowLimit
			}
			plan := scenario.Plan([]*scenario.Scenario{s}, []*scenario.Peer{p}, runner(t))
			for _, r := range runClean(t, plan, timeout) {
				if got := fmt.Sprint(r.Findings); r.Case.B == p && got != c.want {
					t.Errorf("%s with %s=%s of a pair %s: %s: got %s, want %s",
						r.Name, c.fault, c.sent, kind, r.Verdict, got, c.want)
				}
			}
		}
	}
}

// If one peer is restarted all the time, its new processes do not keep the sockets of another peer open.
func TestStartingPeersLeaksNoSockets(t *testing.T) {
	dying, steady := probed(t, "die"), probed(t, "")
	steady.Name = "steady"
	var list []scenario.Case
	times := 8
	if repeat() {
		times = 100
	}
	for range times {
		list = append(list, casesWith(t, dying, "basics/pass-one-fd/*/runner/faulty")...)
		list = append(list, casesWith(t, steady, "death/peer-closed-before-send/*/steady/runner")...)
	}
	for _, r := range runClean(t, list, 0) {
		if r.Case.A == steady {
			wantPass(t, r)
		}
	}
}

// If a fault depends on what the process did before, its library is still the only one that is at fault, in any order.
func TestFaultOfAProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: this test runs many pairs")
	}
	scenarios, err := catalogue.Scenarios()
	fdtest.Must(t, err)
	scenarios = slices.DeleteFunc(scenarios, func(s *scenario.Scenario) bool {
		return !repeat() && path.Dir(s.Name) != "basics"
	})
	for name, of := range fault.All() {
		if !of.Process {
			continue
		}
		list := []*scenario.Peer{probed(t, name), probed(t, "")}
		list[1].Name = "right"
		for _, jobs := range []int{1, 4} {
			accused := map[string]int{}
			o := Run(context.Background(), scenario.Plan(scenarios, list, runner(t)), nil, Options{Jobs: jobs, Runner: runner(t)})
			for _, r := range o.Results {
				for _, f := range r.Findings {
					accused[f.Peer]++
				}
			}
			if len(accused) != 1 || accused["faulty"] == 0 {
				t.Errorf("%s, %d jobs, first %s: got findings about %v, want only faulty",
					name, jobs, list[0].Name, accused)
			}
			slices.Reverse(list)
		}
	}
}
