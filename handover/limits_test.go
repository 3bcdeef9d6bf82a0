//go:build linux

package handover

import (
	"testing"

	"golang.org/x/sys/unix"
)

// limit lets the server open no further descriptor, until restore is called.
func (s *server) limit() (restore func()) {
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
func TestReadyFailsWithoutDescriptors(t *testing.T) {
	w := newProcesses(t, nothing)
	a := w.first()
	b := w.start("waits=yes")
	b.says("prepared")
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
	r := w.relay("go", 1)
	b := w.start()
	r.holds()
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
