//go:build linux

package handover

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// limit lets the server open no further descriptor, until restore is called.
func (s *webServer) limit() (restore func()) {
	s.w.t.Helper()
	var old unix.Rlimit
	set := func(limit, old *unix.Rlimit) {
		s.w.t.Helper()
		if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_NOFILE, limit, old); err != nil {
			s.w.t.Fatal(err)
		}
	}
	set(nil, &old)
	set(&unix.Rlimit{Cur: 0, Max: old.Max}, nil)
	return func() { set(&old, nil) }
}

// Ready needs descriptors, and opens them before it says that this process is ready.
// The time to send go does not limit what follows: a successor that was stopped may serve when it continues.
func TestSuccessorIsSlowAfterGo(t *testing.T) {
	defer func(limit time.Duration) { goTime = limit }(goTime)
	goTime = time.Second
	a := startReady(t, Config{})
	s := successorOf(t, a.path)
	s.takesOver("")
	for began := time.Now(); time.Since(began) < goTime+100*time.Millisecond; {
		time.Sleep(10 * time.Millisecond)
		if a.isReplaced() {
			t.Fatal("the predecessor stops before the successor serves")
		}
	}
	s.sends(message{Type: "going"})
	isReplaced(t, a)
}

func TestReadyFailsWithoutDescriptors(t *testing.T) {
	w := newProcesses(t, nothing)
	a := w.first()
	b := w.prepares()
	_ = b.limit()
	b.reads("ready")
	b.says("failed", "too many open files")
	a.says("log", "too many open files")
	a.only()
	w.start().only()
}

// After go, nothing can fail: the predecessor ends when it reads going.
func TestReadyNeedsNoDescriptorsAfterGo(t *testing.T) {
	w := newProcesses(t, nothing)
	a := w.first()
	r, b := w.holds("go")
	restore := b.limit()
	r.release()
	b.says("serving")
	a.says("replaced")
	restore()
	b.only()
	w.start().only()
}

// A predecessor without descriptors rejects the successor, or lets it wait, and continues.
func TestPredecessorWithoutDescriptorsContinues(t *testing.T) {
	w := newProcesses(t, nothing)
	a := w.first()
	restore := a.limit()
	b := w.start()
	a.says("log", "too many open files")
	restore()
	b.only()
}

// The manager may end the service if the main process exits before it has read which process is the next one. Without a
// descriptor, the predecessor cannot know, so it continues.
func TestPredecessorWithoutDescriptorsWaitsForTheManager(t *testing.T) {
	m := newManager(t)
	m.hold = make(chan struct{})
	w := newProcesses(t, nothing)
	a := w.first()
	r, b := w.holds("ready")
	restore := a.limit()
	r.release()
	for !strings.HasPrefix(m.next(), "MAINPID=") {
	}
	a.says("log", "cannot notify the service manager", "too many open files")
	restore()
	fdtest.Eventually(t, "the predecessor asks the manager", func() bool { return m.barriers.Load() > 0 || a.has("replaced") })
	if a.has("replaced") {
		t.Error("the predecessor was replaced before the manager knew its successor")
	}
	close(m.hold)
	a.says("replaced")
	b.only()
}

// A call that fails again and again is logged once.
func TestAcceptFailsAgain(t *testing.T) {
	var failed atomic.Int64
	sleep = func(d time.Duration) { failed.Add(1); time.Sleep(d) }
	defer func() { sleep = time.Sleep }()
	var log logged
	a := startReady(t, Config{Logger: log.logger()})
	const text = "WARN handover: cannot accept a successor"
	_ = a.server.control.SetDeadline(expired)
	fdtest.Eventually(t, "it has failed again and again", func() bool { return failed.Load() >= 3 })
	if n := log.count(text); n != 1 {
		t.Errorf("logged %d times", n)
	}
	_ = a.server.control.SetDeadline(time.Time{})
	replaces(t, a)
}

// A lack of descriptors has no effect on later attempts.
func TestNoPipeForAnAttempt(t *testing.T) {
	noLeak(t)
	var fails atomic.Bool
	newPipe = func() (*os.File, *os.File, error) {
		if fails.Load() {
			return nil, nil, unix.EMFILE
		}
		return os.Pipe()
	}
	defer func() { newPipe = os.Pipe }()
	fails.Store(true)
	path := socketPath(t)
	busy := start(t, Config{}, path)
	if err := busy.Ready(patient(t)); !errors.Is(err, unix.EMFILE) {
		t.Errorf("Ready: %v", err)
	}
	_ = busy.Close()

	fails.Store(false)
	a := start(t, Config{}, path)
	ready(t, a)
	fails.Store(true)
	b := start(t, Config{}, path) // with the pipe that was made in Ready
	if err := b.Ready(patient(t)); !errors.Is(err, unix.EMFILE) {
		t.Errorf("Ready of a successor: %v", err)
	}
	_ = b.Close()
	_, err := Start(patient(t), path)
	wantError(t, err, unix.EMFILE.Error())
	fails.Store(false)
	replaces(t, replaces(t, a))
}
