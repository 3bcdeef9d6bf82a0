package interoptest

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/libcases"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// updateVariable is an environment variable: 1 updates the last file of expected failures.
const updateVariable = "SCM_INTEROP_UPDATE"

var timeout = process.DefaultTimeout // for an answer; a test shortens it

// argument is the last argument of a test binary that runs as the peer, after the call of Run that serves.
const argument = "scm-interoptest-peer"

// In a process that is the peer: where it writes its answers, and the call of Run that serves.
var (
	answers *os.File
	serves  string
)

// The runner starts this binary as its own peer, as a partner, and as the peer under test. The first two need no
// code of the tests, so they run before TestMain. The third one goes on to Run, and until then nothing that the
// tests print may reach the runner.
func init() {
	process.Main()
	builtin.Main()
	if len(os.Args) < 3 || os.Args[len(os.Args)-1] != argument {
		return
	}
	serves = os.Args[len(os.Args)-2]
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.Dup3(2, 1, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers = os.NewFile(uintptr(fd), "answers")
}

// Run runs the scenarios with a library, each case as a subtest GROUP/SCENARIO/TYPE/ROLE/PARTNER. ROLE is sends or
// receives. PARTNER is runner, which makes the system calls itself; the library, as its own partner; or scm, with the
// backend of this build. The environment variable SCM_PARTNERS can name a list of further partners, such as
// peers/peers.json of a release. None of them may have the library's name. With -short, the only partner is runner.
//
// The files list expected failures. A case that fails as expected is skipped, with the reason. One that no longer fails
// is an error that names the line to remove. So is a line that applies to no case, unless flags such as -run left out
// cases. If SCM_INTEROP_UPDATE is 1, Run rewrites the last file, as scm interop
// expect --update does, provided that every case has run. Lines with VERSIONS need a Library.Version that begins with a
// digit, and [peer.ModuleVersion] returns "unknown" in tests.
//
// To call the library in other processes, Run starts the test binary again, with -test.run set to the name of t and the
// flags that are not of package testing. There, the same call of Run calls the library, and the calls before it return
// at once. So the calls of Run in a test must always have the same order, and the test should not do much before them.
// Run makes the descriptors close-on-exec that the test binary has inherited.
//
// If five cases in a row with the same partner, or ten in all, hang because of a peer, its other cases are not run,
// which is an error. Expected failures do not count, and a run that rewrites a file has no such limit.
//
// Run ends early, with an error, shortly before the limit of -timeout, and after SIGINT, SIGTERM or SIGHUP, which then
// ends the process. It leaves nothing behind.
func Run(t *testing.T, lib peer.Library, expected ...string) {
	t.Helper()
	call := nextCall(t)
	if answers != nil {
		if call != serves {
			return // it may be of another library
		}
		signal.Ignore(syscall.SIGPIPE)
		if err := peer.Serve(lib, os.Stdin, answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	ctx := testContext(t)
	s := &suite{call: call, files: expected, update: os.Getenv(updateVariable) == "1", first: report.FirstCases{}, tests: map[string]string{}}
	if err := s.open(ctx, t, lib); err != nil {
		t.Fatal(cmp.Or(context.Cause(ctx), err))
	}
	cut := s.runAll(ctx, t)
	for _, p := range s.partners {
		t.Logf("partner %s: %s", p.Name, cmp.Or(p.Why, "in "+p.Hello.Lang+", version "+p.Hello.Version))
	}
	if s.update {
		s.write(t, cut)
		return
	}
	for _, err := range s.unmatched {
		if len(s.results) == len(s.cases) {
			t.Error(err)
		} else {
			t.Log(err)
		}
	}
	missing := scenario.ReasonFilter
	if cut != "" {
		missing = scenario.ReasonCut
	}
	r := report.Report{Cases: s.results, Cut: cut, NotAsked: map[string]string{lib.Name: ""}}
	obstacle := scenario.Obstacles(s.whole, s.results, missing)
	r.CountAsked(s.whole, func(c scenario.Case) (o scenario.Obstacle) {
		if c.Unsupported() == "" { // the others are not among s.cases
			o = obstacle(c)
		}
		return o
	})
	t.Log(r.CauseTable(func(c scenario.Result) string {
		return "go test -run '" + display.Pattern(s.tests[c.Name]) + "' -v"
	}))
	if cut != "" {
		t.Error(r.CutText())
	}
}

var calls sync.Map // from a *testing.T to the number of its calls of Run

// nextCall returns the identity of a call of Run, which is the same in another process: the N-th call of a test is
// NAME#N.
func nextCall(t *testing.T) string {
	n, _ := calls.LoadOrStore(t, new(atomic.Int32))
	return fmt.Sprintf("%s#%d", t.Name(), n.(*atomic.Int32).Add(1))
}

// testContext returns a context that ends shortly before the test's deadline, or with a signal, after which the process
// ends by that signal once the test has cleaned up.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	if deadline, ok := t.Deadline(); ok {
		var stop context.CancelFunc
		early := min(10*time.Second, time.Until(deadline)/5)
		ctx, stop = context.WithDeadlineCause(ctx, deadline.Add(-early), errors.New("-timeout is near"))
		t.Cleanup(stop)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan syscall.Signal, 1)
	go func() {
		s, _ := (<-signals).(syscall.Signal)
		cancel(errors.New(s.String()))
		ended <- s
	}()
	t.Cleanup(func() {
		signal.Stop(signals)
		close(signals) // without a signal, ended gets 0
		if s := <-ended; s != 0 {
			_ = syscall.Kill(os.Getpid(), s)
			time.Sleep(time.Second)
		}
	})
	return ctx
}

// A suite has the cases of a library.
type suite struct {
	call   string         // of Run
	files  []string       // with expected failures
	lists  scenario.Lists // the built-in one and those of the files
	update bool

	unmatched []error // the expected failures that apply to no case

	scenarios []*scenario.Scenario
	us        *scenario.Peer
	partners  []*scenario.Peer // other than the runner and us
	cases     []scenario.Case  // those with the same partner one after the other
	whole     []scenario.Case  // also those that the library does not support
	session   *interop.Session
	results   []scenario.Result
	first     report.FirstCases // the subtest that was the first to fail for each cause
	tests     map[string]string // the name of each case's subtest
}

// open finds out what the library and the partners support, and opens the session.
func (s *suite) open(ctx context.Context, t *testing.T, lib peer.Library) error {
	if _, err := interop.MaxJobs(); err != nil {
		return err
	}
	only, short := "-test.run="+display.Pattern(t.Name()), fmt.Sprintf("-test.short=%t", testing.Short())
	command := []string{"/proc/self/exe", only, short}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			command = append(command, "-"+f.Name+"="+f.Value.String())
		}
	})
	s.us = scenario.Program(lib.Name, append(command, s.call, argument)...)
	runner, err := process.Runner()
	if err != nil {
		return fmt.Errorf("the runner's own peer: %w", err)
	}
	err = process.Smoke(ctx, s.us, process.DefaultTimeout)
	if err == nil {
		err = process.ProbeContext(ctx, s.us, process.DefaultTimeout) // sets Slow
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s, which is this test in another process: %w", lib.Name, err)
	case s.us.Hello.Name != lib.Name:
		return fmt.Errorf("%s, in another process, is %s: a test must call Run with the same libraries in the same order", s.call, s.us.Hello.Name)
	case len(s.us.Unfilled) > 0:
		return fmt.Errorf("%s answers ErrUnsupported to every %s", lib.Name, strings.Join(s.us.Unfilled, " and every "))
	}
	if err := s.findPartners(ctx); err != nil {
		return err
	}
	x, err := s.expectations(runner)
	if err != nil {
		return err
	}
	all := []*scenario.Peer{s.us}
	for _, with := range append([]*scenario.Peer{runner, s.us}, s.partners...) {
		if with.Why == "" && with != runner && with != s.us {
			all = append(all, with)
		}
		if with == runner || with.Why == "" && !testing.Short() {
			s.cases = append(s.cases, libcases.With(s.scenarios, s.us, with, runner)...)
		}
	}
	s.whole = scenario.Plan(s.scenarios, all, runner)
	if !slices.ContainsFunc(s.cases, func(c scenario.Case) bool { return c.Scenario.PassesFiles() }) {
		return fmt.Errorf("no case that %s supports passes a descriptor", lib.Name)
	}
	options := interop.Options{Runner: runner, Timeout: timeout}
	if s.update {
		options.MaxHangs = -1
	}
	s.session, err = interop.Open(s.cases, x, options)
	if err == nil {
		t.Cleanup(func() {
			if err := s.session.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return err
}

// findPartners sets the partners: scm, which is part of this binary, and those of the list in SCM_PARTNERS.
func (s *suite) findPartners(ctx context.Context) error {
	if os.Getenv("SCM_PEERS") != "" {
		return fmt.Errorf("SCM_PEERS is set: the variable for a list of partners is %s", peers.PartnersVariable)
	}
	reserved := []string{scenario.RunnerName, scenario.KernelName}
	if !display.IsName(s.us.Name) || peers.CheckName(s.us.Name, reserved...) != nil {
		return fmt.Errorf("Library.Name is %q: choose letters, digits and any of \"_.+-\", other than runner and kernel", s.us.Name)
	}
	scm := builtin.SCM().Name
	more, err := peers.ReadPartners(append(reserved, s.us.Name)...)
	if err != nil {
		return err
	}
	list := []peers.Built{{Name: scm, Command: []string{"/proc/self/exe", builtin.Argument, scm}}}
	for i, b := range append(list, more...) {
		if b.Name == scm && (i > 0 || s.us.Name == scm) {
			continue
		}
		p := &scenario.Peer{Name: b.Name, Command: b.Command, Why: b.Why}
		if p.Why == "" {
			if err := process.ProbeContext(ctx, p, process.DefaultTimeout); err != nil {
				return fmt.Errorf("partner %s: %w", p.Name, err)
			}
		}
		s.partners = append(s.partners, p)
	}
	return nil
}

// expectations reads the expected failures of the files and, for the partners, of the built-in list. A library that has
// the name of a peer in the repository does not get its lines.
func (s *suite) expectations(runner *scenario.Peer) (*scenario.Expectations, error) {
	scenarios, list, err := libcases.Load()
	if err != nil {
		return nil, err
	}
	s.scenarios = scenarios
	isHere := func(name string) bool {
		return name == runner.Name ||
			slices.ContainsFunc(s.partners, func(p *scenario.Peer) bool { return p.Name == name })
	}
	list = slices.DeleteFunc(list, func(l expected.Line) bool { return !isHere(l.Peer) })
	s.lists, err = scenario.ReadLists(list, s.files, s.update, updateVariable+"=1 go test creates the last file")
	if err != nil {
		return nil, err
	}
	list = s.lists.All()
	complete := list
	if s.update {
		complete = s.lists.Given
	}
	if err := expected.ValidateReasons(complete); err != nil {
		return nil, err
	}
	for _, l := range list {
		if version := s.us.Hello.Version; l.Peer == s.us.Name && l.Versions != "" && !expected.InVersions(">=0", version) {
			return nil, fmt.Errorf("%s selects nothing: the version of %s is %q here, and must begin with a digit", l, l.Peer, version)
		}
	}
	x, unmatched := scenario.Expect(list, witness.ThisKernel(), scenarios, append(s.partners, s.us), nil, runner)
	s.unmatched = unmatched
	return x, nil
}

// runAll runs the cases that the flags select. If the run is cut short, it says why.
func (s *suite) runAll(ctx context.Context, t *testing.T) (cut string) {
	t.Helper()
	for _, c := range s.cases {
		seat := "sends/" + c.B.Name
		if c.A != s.us {
			seat = "receives/" + c.A.Name
		}
		t.Run(c.Scenario.Name+"/"+c.Type+"/"+seat, func(t *testing.T) {
			t.Helper()
			r := s.session.Run(ctx, c)
			s.results = append(s.results, r)
			s.tests[r.Name] = t.Name()
			s.judge(t, r)
		})
		if ctx.Err() != nil { // the session would start peers for each further case
			return context.Cause(ctx).Error()
		}
	}
	return ""
}

// judge ends a subtest with its verdict, in words. Each failed subtest is at least a line of output. So without -v, a
// case that has only known causes is skipped, and Run counts it.
func (s *suite) judge(t *testing.T, r scenario.Result) {
	t.Helper()
	switch r.Verdict {
	case scenario.Pass:
		t.Log(strings.Join(r.Transcript, "\n"))
		return
	case scenario.Expected:
		t.Skip("fails as expected: " + strings.Join(r.Reasons, "; "))
	case scenario.Unsupported:
		t.Skip(r.Why)
	}
	lines := report.ExampleLines
	if testing.Verbose() {
		lines = 0
	}
	if known := s.first.Add(t.Name(), r); known != "" && lines > 0 {
		t.Skip(known)
	}
	text := report.Example(r, lines)
	if s.update {
		t.Skip(text)
	}
	t.Error(text)
}

// write updates the last file after a whole run. If the run was not a whole one, it says why.
func (s *suite) write(t *testing.T, left string) {
	t.Helper()
	notRun := slices.IndexFunc(s.results, func(r scenario.Result) bool { return r.Verdict == scenario.NotRun })
	switch {
	case left != "":
	case len(s.files) == 0:
		left = "Run was called without a file"
	case testing.Short():
		left = "-short left out partners"
	case len(s.results) < len(s.cases):
		left = "-run, -skip or -failfast left out cases"
	case notRun >= 0:
		left = s.results[notRun].Name + " was not run"
	}
	if left != "" {
		t.Fatalf("%s: nothing was written: %s", updateVariable, left)
	}
	file := s.lists.File
	known := []string{scenario.RunnerName, scenario.KernelName, s.us.Name}
	for _, p := range s.partners {
		known = append(known, p.Name)
	}
	u, err := scenario.UpdateExpectations(s.lists, s.scenarios,
		scenario.ReportedRun{System: witness.ThisKernel(), Known: known, Plan: s.cases, Results: s.results})
	if err == nil && (s.lists.Missing || len(u.Removed)+len(u.Added) > 0) {
		err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, u.Text, 0o666))
	}
	if err != nil {
		t.Fatalf("%s: %v", updateVariable, err)
	}
	for _, l := range u.Removed {
		t.Logf("- %s", l.Text())
	}
	for _, a := range u.Added {
		t.Logf("+ %s", a.Text())
		if a.Example != "" {
			t.Logf("    for example -run '%s'", display.Pattern(s.tests[a.Example]))
		}
	}
	if u.Unfinished() {
		t.Errorf("%s: complete the reasons of the new lines, and remove the \"?\"", file)
	}
}
