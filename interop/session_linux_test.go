package interop

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// open returns a session for the scenario passOne on three types of socket, with a correct peer x and the given one,
// and its plan.
func open(t *testing.T, p *scenario.Peer, o Options) (*Session, []scenario.Case) {
	t.Helper()
	right := testPeer(t, "right")
	t.Setenv("TMPDIR", t.TempDir())
	checkNothingLeft(t)
	var plan []scenario.Case
	s := mustParse(t, strings.Replace(passOne, "on stream", "on stream dgram seqpacket", 1))
	for _, socketType := range s.Types {
		plan = append(plan, scenario.Case{Scenario: s, Type: socketType, A: right, B: p})
	}
	session, err := Open(plan, nil, o)
	fdtest.Must(t, err)
	t.Cleanup(func() {
		defer session.Close()
		// Before Close, because a killed session does not call it.
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("left in the folder for temporary files: %v, %v", left, err)
		}
	})
	return session, plan
}

func passes(t *testing.T, s *Session, c scenario.Case) {
	t.Helper()
	if r := s.Run(context.Background(), c); r.Verdict != scenario.Pass || r.Name != c.Name() {
		t.Errorf("%s: got %s: %s, want %s to pass", r.Name, outcome(r), r.Transcript, c.Name())
	}
}

// Peers start with the first case, and keep running until the last one.
func TestSessionKeepsPeersRunning(t *testing.T) {
	s, plan := open(t, testPeer(t, "right", "other"), Options{})
	if pids := children(t); len(pids) > 0 {
		t.Errorf("Open started %v", pids)
	}
	passes(t, s, plan[0])
	first := children(t)
	passes(t, s, plan[1])
	if second := children(t); len(first) != 2 || !slices.Equal(first, second) {
		t.Errorf("running after the first case %v, after the second %v", first, second)
	}
	passes(t, s, plan[2])
	if pids := children(t); len(pids) > 0 {
		t.Errorf("running after the last case: %v", pids)
	}
}

// Ginkgo leaves specs out, shuffles them and repeats them.
func TestSessionRunsInAnyOrder(t *testing.T) {
	s, plan := open(t, testPeer(t, "right", "other"), Options{})
	for _, i := range []int{1, 2, 0, 0, 2, 1, 1} {
		passes(t, s, plan[i])
	}
}

func TestSessionAfterACrash(t *testing.T) {
	s, plan := open(t, testPeer(t, "right", "other"), Options{})
	passes(t, s, plan[0])
	for _, pid := range children(t) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatalf("kill %d: %v", pid, err)
		}
	}
	r := s.Run(context.Background(), plan[1])
	if r.Verdict != scenario.Fail || r.Findings[0].Check != scenario.CheckCrash {
		t.Errorf("after the peers were killed: got %+v, want a crash", r)
	}
	passes(t, s, plan[2])
	passes(t, s, plan[1])
}

func TestSessionIsCutShort(t *testing.T) {
	why := errors.New("enough")
	cut, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	soon, stop := context.WithTimeoutCause(context.Background(), deadline, why)
	defer stop()
	s, plan := open(t, shellPeer(t, `recv) exec sleep 1000;;`), Options{Timeout: time.Hour})
	for i, ctx := range []context.Context{cut, soon, cut} {
		r := s.Run(ctx, plan[0])
		if r.Name != plan[0].Name() || r.Verdict != scenario.NotRun || r.Why != "cut short: enough" || r.Obstacle.Reason != scenario.ReasonCut {
			t.Errorf("context %d: got %+v, want %s to be cut short", i, r, plan[0].Name())
		}
		if pids := children(t); len(pids) > 0 {
			t.Errorf("context %d: left running: %v", i, pids)
		}
	}
	ready, plan := open(t, testPeer(t, "right", "other"), Options{})
	passes(t, ready, plan[0])
	if r := ready.Run(cut, plan[1]); r.Verdict != scenario.NotRun {
		t.Errorf("after the end of the context: got %+v, want not run", r)
	}
	passes(t, ready, plan[1])
}

func TestSessionCannotStartAPeer(t *testing.T) {
	missing := scenario.Program("other", "/nonexistent")
	missing.Hello = testPeer(t, "right").Hello
	s, plan := open(t, missing, Options{})
	for _, c := range plan {
		r := s.Run(context.Background(), c)
		if r.Verdict != scenario.NotRun || !r.Broken || !strings.Contains(r.Why, "/nonexistent") {
			t.Errorf("%s: got %+v, want it not run because of /nonexistent", c.Name(), r)
		}
	}
	other := plan[0]
	other.Type = "none"
	const why = "it is not in the plan of the session"
	if r := s.Run(context.Background(), other); r.Verdict != scenario.NotRun || r.Broken || r.Why != why {
		t.Errorf("a case of another type: got %+v, want it not run: %s", r, why)
	}
}

// A start that fails once, for example because the machine is busy, does not end the session.
func TestSessionStartsAPeerAgain(t *testing.T) {
	right := testPeer(t, "right", "other")
	path, err := exec.LookPath(right.Command[0])
	fdtest.Must(t, err)
	program := filepath.Join(t.TempDir(), "peer")
	right.Command = append([]string{program}, right.Command[1:]...)
	s, plan := open(t, right, Options{})
	if r := s.Run(context.Background(), plan[0]); r.Verdict != scenario.NotRun {
		t.Errorf("without the program: got %+v, want not run", r)
	}
	fdtest.Must(t, os.Symlink(path, program))
	passes(t, s, plan[0])
}

// As in Run, each peer is also run opposite the runner, and an unexpected case runs again.
func TestSessionCompletesResults(t *testing.T) {
	other := shellPeer(t, `recv) echo err EAGAIN;;`)
	other.Name = "other"
	s, plan := open(t, other, Options{Runner: runner(t), Retries: 1})
	r := s.Run(context.Background(), plan[0])
	if r.Verdict != scenario.Fail || r.Tries != 2 || !strings.HasPrefix(finding(t, r), "answer@other: ") {
		t.Errorf("got %+v, want answer@other after two tries", r)
	}
}

// As in Run, all cases in which the runner takes a role show which peer is at fault.
func TestBatchOfASession(t *testing.T) {
	x, y, r := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}, &scenario.Peer{Name: scenario.RunnerName}
	var plan []scenario.Case
	for _, play := range []string{"pair", "solo", "sender", "receiver"} {
		s := mustParse(t, strings.Replace(passOne, "on stream", "on stream\nplay "+play, 1))
		s.Name = "group/" + play
		if play == "pair" {
			plan = append(plan, onStream(s, x, y), onStream(s, x, r))
		}
		if play == "solo" || play == "sender" {
			plan = append(plan, onStream(s, x, r))
		}
		if play == "solo" || play == "receiver" {
			plan = append(plan, onStream(s, r, x))
		}
	}
	var got []string
	for _, c := range withRunner(plan, r) {
		got = append(got, strings.Replace(c.Name(), "/stream/", " ", 1))
	}
	want := []string{"group/pair x/runner", "group/pair runner/y", "group/solo x/runner", "group/solo runner/x", "group/sender x/runner", "group/receiver runner/x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenWithoutAFolder(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	if s, err := Open(nil, nil, Options{}); err == nil {
		t.Error(s.Close())
	}
}
