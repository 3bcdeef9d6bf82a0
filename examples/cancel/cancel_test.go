//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func pair(t *testing.T) (a, b *scm.Conn) {
	t.Helper()
	a, b, err := scm.Pair("unix")
	fdtest.Must(t, err)
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
		fdtest.Must(t, a.SendFile("null", os.Stdin))
		f := program.Must(recvFile(context.Background(), b))
		_ = f.Close()
	}
}

func TestSignal(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	p := program.Start(t, program.Command(path))
	p.Listens(t)
	conn := program.Must(scm.Dial(context.Background(), "unix", path))
	defer func() { _ = conn.Close() }()
	fdtest.Must(t, conn.SendFile(os.DevNull, os.Stdin))
	fdtest.Must(t, syscall.Kill(p.PID, syscall.SIGTERM))
	p.Succeeds(t, "the program, after SIGTERM,")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket was not removed: ", err)
	}
}
