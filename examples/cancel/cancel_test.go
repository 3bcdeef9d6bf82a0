//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func pair(t *testing.T) (a, b *scm.Conn) {
	t.Helper()
	a, b, err := scm.Pair("unix")
	program.OK(t, err)
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// A call that waits ends with its context, and the next call works.
func TestCancel(t *testing.T) {
	a, b := pair(t)
	for i := range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel() // before the call, while it waits, or after it
		if f, err := recvFile(ctx, b); f != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("round %d: the receive returned %v, %v; want no file and context.Canceled", i, f, err)
		}
		program.OK(t, a.SendFile("null", os.Stdin))
		f := program.Must(recvFile(context.Background(), b))
		_ = f.Close()
	}
}

// A call is not made if the context is already done, so that a file in the queue stays there.
func TestCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := withContext(ctx, func(time.Time) error { return nil }, func() error {
		t.Error("called")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// If a call succeeds although its context is done, its result is kept, and the deadline is reset last.
func TestCanceledAfter(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	expiring, reset := make(chan struct{}), make(chan struct{})
	set := make(chan time.Time, 2)
	setDeadline := func(d time.Time) error {
		if d.IsZero() {
			close(reset)
		} else {
			close(expiring)
			select { // a reset that does not wait for this call is first
			case <-reset:
			case <-time.After(50 * time.Millisecond):
			}
		}
		set <- d
		return nil
	}
	err := withContext(ctx, setDeadline, func() error {
		cancel()
		<-expiring
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if first, last := <-set, <-set; first.IsZero() || !last.IsZero() {
		t.Error("the deadline was set after the reset")
	}
}

func TestSignal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	p := program.Start(t, program.Command(path))
	p.Listens(t)
	conn := program.Must(scm.Dial(context.Background(), "unix", path))
	defer func() { _ = conn.Close() }()
	program.OK(t, conn.SendFile(os.DevNull, os.Stdin))
	program.OK(t, syscall.Kill(p.PID, syscall.SIGTERM))
	p.Succeeds(t, "the program, after SIGTERM,")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket was not removed: ", err)
	}
}
