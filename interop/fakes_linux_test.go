package interop_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
)

// built is where the fakes are.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// buildFakes builds the program once.
var buildFakes = sync.OnceValues(func() (program string, err error) {
	if built, err = os.MkdirTemp("", "scm-fakes-"); err != nil {
		return "", err
	}
	if built, err = filepath.EvalSymlinks(built); err != nil {
		return "", err
	}
	program = filepath.Join(built, "fake")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./peers/fakes")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// fake is the peer with one sin, or with none.
func fake(t *testing.T, sin string) *interop.Peer {
	t.Helper()
	program, err := buildFakes()
	if err != nil {
		t.Fatal(err)
	}
	p := interop.Program("fake", program)
	if sin != "" {
		p.Command = append(p.Command, "--sin", sin)
	}
	return p
}

func runner(t *testing.T) *interop.Peer {
	t.Helper()
	p, err := interop.Runner()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cases are those that the patterns select, of all scenarios with the peer and
// the runner.
func cases(t *testing.T, p *interop.Peer, patterns ...string) []interop.Case {
	t.Helper()
	scenarios, err := catalogue.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	f := interop.Filter{}
	for _, text := range patterns {
		pattern, err := interop.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		f.Run = append(f.Run, pattern)
	}
	list, err := f.Apply(interop.Plan(scenarios, []*interop.Peer{p}, runner(t)))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// play plays the cases: each has a result, and nothing is left of the peers. A
// timeout of 0 is for those who answer.
func play(t *testing.T, list []interop.Case, timeout time.Duration) []interop.Result {
	t.Helper()
	before := fdtest.Take()
	o := interop.Run(context.Background(), list, nil, interop.Options{Jobs: 2, Timeout: timeout})
	for _, left := range before.NewSince() {
		t.Errorf("left open: %s", left)
	}
	program, err := buildFakes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range running(t, program) {
		t.Errorf("left running: %s", pid)
	}
	if len(o.Results) != len(list) {
		t.Errorf("%d results of %d cases", len(o.Results), len(list))
	}
	return o.Results
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
	p := fake(t, "")
	if err := p.Probe(interop.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	for _, r := range play(t, cases(t, p), 0) {
		if r.Verdict != interop.Pass {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
}

// For each sin: cases in which it must be found, and cases that it has nothing to
// do with, which pass. These are played last: the run goes on.
var sins = []struct {
	name   string
	found  []string
	key    string
	text   string // in each finding
	passes []string

	timeout time.Duration
}{
	{
		name: "cloexec",
		found: []string{
			"basics/{pass-one-fd,pass-two-fds}/*/*/fake",
			"basics/echo-back/*/fake/runner", // it receives what it sent
		},
		key:    "cloexec@fake",
		text:   "what it receives is not close-on-exec",
		passes: []string{"basics/no-fd-message-has-no-cmsg", "basics/pass-one-fd/*/fake/runner"},
	},
	{
		name: "leak",
		found: []string{
			"truncation/ctrunc-{padding-room-extra-fd,null-control,two-of-three,three-into-one}/*/runner/fake",
			"truncation/ctrunc-padding-room-extra-fd/*/fake/fake",
		},
		key:    "leak@fake",
		text:   "is open, and nobody was told",
		passes: []string{"basics/pass-one-fd", "basics/pass-three-fds"},
	},
	{
		name:   "dup",
		found:  []string{"basics/{pass-one-fd,pass-two-fds}/*/*/fake"},
		key:    "leak@fake",
		text:   "is open, and nobody was told",
		passes: []string{"basics/no-fd-message-has-no-cmsg", "basics/pass-one-fd/*/fake/runner"},
	},
	{
		name:   "length",
		found:  []string{"basics/{pass-one-fd,pass-two-fds,pass-three-fds}/*/fake/*"},
		key:    "answer@fake",
		text:   " descriptors)",
		passes: []string{"basics/no-fd-message-has-no-cmsg", "basics/pass-two-fds/*/runner/fake"},
	},
	{
		name:   "stale",
		found:  []string{"{ordering/stream-fd-then-plain-splits,death/sender-closes-after-send}/*/runner/fake"},
		key:    "file@fake",
		text:   "which it had already",
		passes: []string{"basics/pass-one-fd", "basics/no-fd-message-has-no-cmsg"},
	},
	{
		name: "reopen",
		found: []string{
			"basics/pass-one-fd/*/fake/*",
			"kinds/kind-{regular,directory,char-device,pipe-write-end}/*/fake/runner",
			"basics/echo-back/*/runner/fake", // it sends back what it received
		},
		key:    "file@fake",
		text:   "is not the open file description of a",
		passes: []string{"basics/pass-one-fd/*/runner/fake", "kinds/kind-unix-stream-end"},
	},
	{
		name:   "swap",
		found:  []string{"basics/{pass-two-fds,pass-three-fds}/*/*/fake"},
		key:    "file@fake",
		text:   "is not the open file description of",
		passes: []string{"basics/pass-one-fd", "basics/same-fd-twice-in-message", "basics/pass-two-fds/*/fake/runner"},
	},
	{
		name:   "garbage",
		found:  []string{"basics/pass-one-fd/*/*/fake"},
		key:    "contract@fake",
		text:   `not text: "\x7fELF\x00\xff\xfe\x1b[2J ok \x00"`,
		passes: []string{"basics/pass-one-fd/*/fake/runner", "hostile/bad-fd-minus-1"},
	},
	{
		name:   "die",
		found:  []string{"basics/pass-one-fd/*/*/fake"},
		key:    "crash@fake",
		text:   "exit status 3; standard error: fake: the disk is full of eels",
		passes: []string{"basics/pass-one-fd/*/fake/runner", "hostile/bad-fd-minus-1"},
	},
	{
		name:   "hang",
		found:  []string{"basics/pass-one-fd/*/*/fake"},
		key:    "hang@fake",
		text:   "no answer in time: signal: killed",
		passes: []string{"basics/pass-one-fd/*/fake/runner", "hostile/bad-fd-minus-1"},

		timeout: 300 * time.Millisecond,
	},
}

func TestSins(t *testing.T) {
	for _, sin := range sins {
		t.Run(sin.name, func(t *testing.T) {
			p := fake(t, sin.name)
			if err := p.Probe(interop.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
			found, passes := cases(t, p, sin.found...), cases(t, p, sin.passes...)
			toFind := map[string]bool{}
			for _, c := range found {
				toFind[c.Name()] = true
			}
			for _, r := range play(t, append(found, passes...), sin.timeout) {
				if !toFind[r.Name] {
					if r.Verdict != interop.Pass {
						t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
					}
					continue
				}
				seen := false
				for _, f := range r.Findings {
					seen = seen || string(f.Check)+"@"+f.Peer == sin.key && strings.Contains(f.Text, sin.text)
					if f.Peer != "fake" {
						t.Errorf("%s: the wrong one is to blame: %s", r.Name, f)
					}
				}
				if !seen || r.Verdict != interop.Fail {
					t.Errorf("%s: %s, not for %s %q: %s%v", r.Name, r.Verdict, sin.key, sin.text, r.Why, r.Findings)
				}
			}
		})
	}
}

func TestPeerThatNeverReads(t *testing.T) {
	err := fake(t, "noread").Probe(300 * time.Millisecond)
	if err == nil || err.Error() != "no answer in time: signal: killed" {
		t.Errorf("got %v", err)
	}
}

// A peer that is right when it is probed, and not there any more afterwards, is
// told of each case that it should have played.
func TestPeerThatDoesNotStartAgain(t *testing.T) {
	p := fake(t, "")
	if err := p.Probe(interop.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	p.Command = []string{"/nonexistent/peer"}
	results := play(t, append(cases(t, p, "basics/pass-one-fd/*/fake/runner"), cases(t, p, "basics/pass-one-fd/*/runner/runner")...), 0)
	broken := 0
	for _, r := range results {
		switch {
		case r.Broken:
			broken++
			if want := "fake: fork/exec /nonexistent/peer: no such file or directory"; r.Verdict != interop.NotRun || r.Why != want {
				t.Errorf("%s: %s: %s", r.Name, r.Verdict, r.Why)
			}
		case r.Verdict != interop.Pass:
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
	if broken != 3 {
		t.Errorf("%d cases could not be played, want 3", broken)
	}
}

// No sin is left out here.
func TestEverySinIsTested(t *testing.T) {
	program, err := buildFakes()
	if err != nil {
		t.Fatal(err)
	}
	usage, err := exec.Command(program, "--sin", "none such").CombinedOutput()
	if err == nil {
		t.Fatal("an unknown sin is taken")
	}
	_, list, ok := strings.Cut(string(usage), "one of ")
	if !ok {
		t.Fatalf("no list of sins in %q", usage)
	}
	tested := []string{"noread"}
	for _, sin := range sins {
		tested = append(tested, sin.name)
	}
	list, _, _ = strings.Cut(list, "\n")
	for name := range strings.SplitSeq(list, ", ") {
		if !slices.Contains(tested, name) {
			t.Errorf("no test has the sin %q", name)
		}
	}
}

// While one peer is started again and again, a socket that another closes is
// closed: no child that is about to be one of the first holds it.
func TestStartingPeersDisturbsNobody(t *testing.T) {
	dying, steady := fake(t, "die"), fake(t, "")
	steady.Name = "steady"
	for _, p := range []*interop.Peer{dying, steady} {
		if err := p.Probe(interop.DefaultTimeout); err != nil {
			t.Fatal(err)
		}
	}
	var list []interop.Case
	for range 100 {
		list = append(list, cases(t, dying, "basics/pass-one-fd/*/runner/fake")...)
		list = append(list, cases(t, steady, "death/peer-closed-before-send/*/steady/runner")...)
	}
	for _, r := range play(t, list, 0) {
		if r.Verdict != interop.Pass && r.Case.A == steady {
			t.Errorf("%s: %s: %s%v", r.Name, r.Verdict, r.Why, r.Findings)
		}
	}
}
