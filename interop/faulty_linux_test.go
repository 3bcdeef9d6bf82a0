package interop_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/kinds"
	"github.com/scm-rights/scm/interop/peers/faulty/fault"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// built is where the faulty peers are.
var built string

func TestMain(m *testing.M) {
	process.Main()
	reexec.Main()
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// buildFaulty builds the program once.
var buildFaulty = sync.OnceValues(func() (program string, err error) {
	if built, err = os.MkdirTemp("", "scm-faulty peers-"); err != nil {
		return "", err
	}
	if built, err = filepath.EvalSymlinks(built); err != nil {
		return "", err
	}
	program = filepath.Join(built, "faulty")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./peers/faulty")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// faulty is the peer with one fault, or with none.
func faulty(t *testing.T, fault string) *scenario.Peer {
	t.Helper()
	program, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	p := scenario.Program("faulty", program)
	if fault != "" {
		p.Command = append(p.Command, "--fault", fault)
	}
	return p
}

func runner(t *testing.T) *scenario.Peer {
	t.Helper()
	p, err := process.Runner()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cases are those that the patterns select, of all scenarios with the peer and
// the runner.
func cases(t *testing.T, p *scenario.Peer, patterns ...string) []scenario.Case {
	t.Helper()
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	f := scenario.Filter{}
	for _, text := range patterns {
		pattern, err := scenario.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		f.Run = append(f.Run, pattern)
	}
	list, err := f.Apply(scenario.Plan(scenarios, []*scenario.Peer{p}, runner(t)))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// play plays the cases: each has a result, and nothing is left of the peers. A
// timeout of 0 is for those who answer.
func play(t *testing.T, list []scenario.Case, timeout time.Duration) []scenario.Result {
	t.Helper()
	defer leavesNothing(t)()
	return plainly(t, list, nil, timeout)
}

// alone runs each case with peers of its own, so that no verdict depends on what an earlier case
// has left in them. Where no peer should hang, it runs a case in which one did not answer in time
// once more, with the default timeout: on a busy machine any peer can be that late.
func alone(t *testing.T, list []scenario.Case, x *scenario.Expectations, checks []scenario.Check, timeout time.Duration) []scenario.Result {
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
			results[i] = plainly(t, one, x, timeout)
			hangs := slices.ContainsFunc(results[i], func(r scenario.Result) bool { return slices.ContainsFunc(r.Findings, late) })
			if hangs && !slices.Contains(checks, scenario.CheckHang) {
				results[i] = plainly(t, one, x, process.DefaultTimeout)
			}
			<-jobs
		}()
	}
	running.Wait()
	return slices.Concat(results...)
}

// plainly plays the cases, beside others.
func plainly(t *testing.T, list []scenario.Case, x *scenario.Expectations, timeout time.Duration) []scenario.Result {
	t.Helper()
	o := interop.Run(context.Background(), list, x, interop.Options{Jobs: 2, Timeout: timeout})
	if len(o.Results) != len(list) {
		t.Errorf("%d results of %d cases", len(o.Results), len(list))
	}
	return o.Results
}

// leavesNothing returns a look at what has been left, since, of the peers.
func leavesNothing(t *testing.T) func() {
	before := fdtest.Take()
	return func() {
		t.Helper()
		for _, left := range before.NewSince() {
			t.Errorf("left open: %s", left)
		}
		program, err := buildFaulty()
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range running(t, program) {
			t.Errorf("left running: %s", pid)
		}
	}
}

// running are the processes of a program.
func running(t *testing.T, program string) (pids []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == program {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}

func TestHonestFakePasses(t *testing.T) {
	p := faulty(t, "")
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	list, left := playable(cases(t, p))
	absent := absentKinds()
	for _, r := range play(t, list, 0) {
		switch {
		case r.Verdict == scenario.Unsupported && absent.MatchString(r.Why):
			t.Logf("skip: %s: %s", r.Name, r.Why)
		case r.Verdict != scenario.Pass:
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	for _, r := range play(t, left, 0) {
		if r.Verdict != scenario.Unsupported || r.Why != kinds.LacksRoot() {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	if len(left) > 0 {
		t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
	}
}

// absentKinds matches why a case is unsupported that has a file which not every machine has,
// or only root.
func absentKinds() *regexp.Regexp {
	if os.Geteuid() != 0 {
		return regexp.MustCompile(`^this system has no (kvm|fuse|inotify|bpf|fanotify|mount): `)
	}
	return regexp.MustCompile(`^this system has no (kvm|fuse|inotify): `)
}

// A library may refuse control messages other than SCM_RIGHTS, give a connection up after a
// truncation, and send a part of more buffers than one system call takes.
func TestStrictLibraryConforms(t *testing.T) {
	p := faulty(t, "")
	p.Command = append(p.Command, "--strict")
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	list, left := playable(cases(t, p))
	if len(left) > 0 {
		t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
	}
	list = slices.DeleteFunc(list, func(c scenario.Case) bool { return c.A != p && c.B != p })
	absent := absentKinds()
	for _, r := range play(t, list, 0) {
		switch {
		case r.Verdict == scenario.Unsupported && absent.MatchString(r.Why):
			t.Logf("skip: %s: %s", r.Name, r.Why)
		case r.Verdict != scenario.Pass && (r.Verdict != scenario.Unsupported || r.Why != "faulty: answered unsupported"):
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
}

// A peer that had no standard error when it said hello can receive a descriptor as 2.
func TestPeerWithoutStandardError(t *testing.T) {
	p := faulty(t, "")
	p.Command = append(p.Command, "--no-stderr")
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	for _, r := range play(t, cases(t, p, "basics/**", "limits/counts-sweep"), 0) {
		if r.Verdict != scenario.Pass {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
}

// A folder of temporary files whose name is relative is used all the same. One that no
// command can name is refused before the run.
func TestTemporaryFolder(t *testing.T) {
	list := cases(t, faulty(t, ""), "sockets/**", "blocking/**/runner/runner")
	t.Chdir(t.TempDir())
	for _, name := range []string{"relative", "with space", "with\nnewline"} {
		if err := os.Mkdir(name, 0o777); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", name)
		o := interop.Run(context.Background(), list, nil, interop.Options{Jobs: 2})
		if name != "relative" {
			if o.Broken == nil || !strings.Contains(o.Broken.Error(), "TMPDIR") || len(o.Results) > 0 {
				t.Errorf("TMPDIR=%q: %v, and %d results", name, o.Broken, len(o.Results))
			}
			continue
		}
		for _, r := range o.Results {
			if r.Verdict != scenario.Pass && r.Verdict != scenario.Unsupported {
				t.Errorf("TMPDIR=%q: %s: %s: %s%v", name, r.Name, r.Verdict, r.Why, r.Findings)
			}
		}
		if o.Broken != nil || len(o.Results) != len(list) {
			t.Errorf("TMPDIR=%q: %v, and %d results of %d", name, o.Broken, len(o.Results), len(list))
		}
	}
}

// playable are the cases that this user can play, and left those that only root can.
func playable(all []scenario.Case) (list, left []scenario.Case) {
	for _, c := range all {
		if kinds.LacksRoot() != "" && (len(c.Scenario.Users) > 0 || slices.Contains(c.Scenario.Needs, "root")) {
			left = append(left, c)
		} else {
			list = append(list, c)
		}
	}
	return list, left
}

// full has every fault play everything, and not only the scenarios that name it.
var full = flag.Bool("full", false, "play every scenario with every fault")

// A namedFault is a fault of the faulty peers.
type namedFault struct {
	name string
	fault.Fault
}

// timeout returns how long the runner waits for an answer or for the end of a file, or 0 for
// its default.
func (f namedFault) timeout() time.Duration {
	if f.Slow {
		return deadline
	}
	return 0
}

// allFaults returns the faults sorted by name.
func allFaults() (list []namedFault) {
	all := fault.All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, namedFault{name, all[name]})
	}
	return list
}

// deadline is what is waited for an answer, or for a pipe's end, that never comes.
const deadline = 400 * time.Millisecond

// red are the faults that a scenario names, by which it is turned red.
func red(s *scenario.Scenario) []string {
	for _, l := range s.Rule {
		if names, ok := strings.CutPrefix(l, "Red: "); ok {
			return strings.Split(names, ", ")
		}
	}
	return nil
}

// casesOf are the cases that a fault is played in, with the runner opposite: those of the
// scenarios that name it, and the others on the first type of socket.
func casesOf(t *testing.T, fault string, p *scenario.Peer, few bool) (list []scenario.Case) {
	seen := map[string]bool{}
	for _, c := range cases(t, p) {
		s := c.Scenario
		first := c.Type == s.Types[0]
		switch {
		case c.A == c.B || c.A != p && c.B != p:
		case slices.Contains(red(s), fault) && (first || !few), *full && first && (!few || !seen[s.Group()]):
			list = append(list, c)
			seen[s.Group()] = seen[s.Group()] || c.B == p
		}
	}
	return list
}

// A faulty peer is found in each scenario that names it, and some scenario names it in each
// group in which it is found at all, but for finds that hang on who is first.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a run without it plays every fault, whoever the user is")
	}
	type casting struct {
		list, left []scenario.Case
		results    []scenario.Result
	}
	faults := allFaults()
	played := make([]casting, len(faults))
	var waiting sync.WaitGroup
	few := make(chan bool, 4) // those that wait for what never comes do so together
	check := leavesNothing(t)
	for i, fault := range faults {
		p := faulty(t, fault.name)
		if err := process.Probe(p, process.DefaultTimeout); err != nil {
			t.Fatal(err)
		}
		played[i].list, played[i].left = playable(casesOf(t, fault.name, p, fault.EndsSession))
		if fault.Slow {
			few <- true
			waiting.Add(1)
			go func() {
				defer waiting.Done()
				played[i].results = alone(t, played[i].list, nil, fault.Checks, fault.timeout())
				<-few
			}()
		}
	}
	waiting.Wait()
	check()
	for i, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			list, left, results := played[i].list, played[i].left, played[i].results
			if !fault.Slow {
				check := leavesNothing(t)
				results = alone(t, list, nil, fault.Checks, 0)
				check()
			}
			named := map[string]bool{} // scenarios and groups
			if len(left) > 0 {
				t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
				for _, c := range left {
					named[c.Scenario.Group()] = named[c.Scenario.Group()] || slices.Contains(red(c.Scenario), fault.name)
				}
			}
			if len(list)+len(left) == 0 {
				t.Error("no scenario names it")
			}
			reported, failed := map[string]bool{}, map[string]string{} // scenarios; one of each group
			for _, r := range results {
				s := r.Case.Scenario
				race := slices.ContainsFunc(s.Steps, func(st scenario.Step) bool { return st.Async })
				if r.Verdict != scenario.Pass && r.Verdict != scenario.Fail {
					t.Errorf("%s: %s: %s", r.Name, r.Verdict, r.Why)
				}
				for _, f := range r.Findings {
					switch {
					case f.Peer != "faulty":
						t.Errorf("%s: the wrong one has it: %s", r.Name, f)
					case slices.Contains(fault.Checks, f.Check) && strings.Contains(f.Text, fault.Text):
						reported[s.Name] = true
						if !race {
							failed[s.Group()] = s.Name
						}
					case failed[s.Group()] == "" && !race:
						failed[s.Group()] = s.Name
					}
				}
			}
			for _, c := range list {
				s := c.Scenario
				if !slices.Contains(red(s), fault.name) || named[s.Name] {
					continue
				}
				named[s.Name], named[s.Group()] = true, true
				if !reported[s.Name] {
					t.Errorf("%s names it, and finds no %s with %q", s.Name, fault.Checks, fault.Text)
				}
			}
			for group, name := range failed {
				if !named[group] {
					t.Errorf("no scenario of %s names it, and %s finds it", group, name)
				}
			}
		})
	}
}

// Both ends of a pipe can be files of a case: each is missed.
func TestHolderOfEitherEnd(t *testing.T) {
	for _, c := range []struct{ fault, sent, want string }{
		{"", "a,b", "[]"},
		{"park", "a", "[leak@faulty: a is still open somewhere after the end of the case]"},
		{"park", "b", "[leak@faulty: b is still open somewhere after the end of the case]"},
	} {
		for _, kind := range []string{"pipe-r", "pipe-w"} {
			s, err := scenario.Parse("group/id", []byte("# A rule.\n# a source\non stream\nplay receiver\nfiles a="+kind+" b=end:a\nA> send payload=61 fds="+c.sent+
				"\nA< ok n=1\nB> recv bytes=16 fds=2\nB< ok n=1 payload=61 fds="+c.sent+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			p := faulty(t, c.fault)
			if err := process.Probe(p, process.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
			timeout := process.DefaultTimeout
			if c.fault != "" {
				timeout = deadline
			}
			for _, r := range play(t, scenario.Plan([]*scenario.Scenario{s}, []*scenario.Peer{p}, runner(t)), timeout) {
				if got := fmt.Sprint(r.Findings); r.Case.B == p && got != c.want {
					t.Errorf("%s with %s=%s of a pair %s: %s: got %s, want %s", r.Name, c.fault, c.sent, kind, r.Verdict, got, c.want)
				}
			}
		}
	}
}

// An expected failure of a peer in every scenario, as of its close-on-exec, hides no
// second fault of the same case: a finding of another check is unexpected.
func TestBlanketHidesNoSecondFault(t *testing.T) {
	blanket, err := scenario.ParseExpectations([]byte("** cloexec@faulty it receives without close-on-exec\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range allFaults() {
		if !slices.Contains([]string{"leak", "pidfd", "dup", "stale", "reopen", "rob", "nonblock", "first", "drop", "hush", "count", "die"}, fault.name) {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			p := faulty(t, fault.name)
			p.Command = append(p.Command, "--inherit")
			if err := process.Probe(p, process.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
			hidden, found := map[string]bool{}, map[string]bool{} // scenarios
			list, left := playable(casesOf(t, fault.name, p, true))
			if len(left) > 0 {
				t.Logf("skip: %d of %d cases need root", len(left), len(left)+len(list))
			}
			for _, r := range alone(t, list, &scenario.Expectations{List: blanket}, fault.Checks, fault.timeout()) {
				name := r.Case.Scenario.Name
				second := slices.ContainsFunc(r.Findings, func(f scenario.Finding) bool { return slices.Contains(fault.Checks, f.Check) })
				hidden[name] = hidden[name] || !second
				found[name] = found[name] || second
				if second && r.Verdict != scenario.Fail {
					t.Errorf("%s: %s, in spite of %v", r.Name, r.Verdict, r.Findings)
				}
			}
			for name := range hidden {
				if !found[name] {
					t.Errorf("%s finds no %s any more", name, fault.Checks)
				}
			}
			if len(found) == 0 {
				t.Error("no scenario was played")
			}
		})
	}
}

// Every scenario that peers play names a fault by which it is turned red, and no other word.
func TestEveryScenarioNamesItsFault(t *testing.T) {
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, fault := range allFaults() {
		names = append(names, fault.name)
	}
	for _, s := range scenarios {
		if s.Play == scenario.PlayKernel {
			continue
		}
		if len(red(s)) == 0 {
			t.Errorf("%s: by which fault is it turned red?", s.Name)
		}
		for _, name := range red(s) {
			if !slices.Contains(names, name) {
				t.Errorf("%s: no such fault: %s", s.Name, name)
			}
		}
	}
}

func TestPeerThatNeverReads(t *testing.T) {
	err := process.Probe(faulty(t, "noread"), 300*time.Millisecond)
	if !errors.Is(err, process.ErrHang) {
		t.Errorf("got %v", err)
	}
}

// A peer that is right when it is probed, and not there any more afterwards, is
// told of each case that it should have played.
func TestPeerThatDoesNotStartAgain(t *testing.T) {
	p := faulty(t, "")
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	p.Command = []string{"/nonexistent/peer"}
	results := play(t, append(cases(t, p, "basics/pass-one-fd/*/faulty/runner"), cases(t, p, "basics/pass-one-fd/*/runner/runner")...), 0)
	broken := 0
	for _, r := range results {
		switch {
		case r.Broken:
			broken++
			if want := "faulty: fork/exec /nonexistent/peer: no such file or directory"; r.Verdict != scenario.NotRun || r.Why != want {
				t.Errorf("%s: %s: %s", r.Name, r.Verdict, r.Why)
			}
		case r.Verdict != scenario.Pass:
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	if broken != 3 {
		t.Errorf("%d cases could not be played, want 3", broken)
	}
}

// While one peer is started again and again, a socket that another closes is
// closed: no child that is about to be one of the first holds it.
func TestStartingPeersDisturbsNobody(t *testing.T) {
	dying, steady := faulty(t, "die"), faulty(t, "")
	steady.Name = "steady"
	for _, p := range []*scenario.Peer{dying, steady} {
		if err := process.Probe(p, process.DefaultTimeout); err != nil {
			t.Fatal(err)
		}
	}
	var list []scenario.Case
	for range 100 {
		list = append(list, cases(t, dying, "basics/pass-one-fd/*/runner/faulty")...)
		list = append(list, cases(t, steady, "death/peer-closed-before-send/*/steady/runner")...)
	}
	for _, r := range play(t, list, 0) {
		if r.Verdict != scenario.Pass && r.Case.A == steady {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
}
