//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// The test plays the role of the service manager.
func TestFilesAreKeptAcrossRestarts(t *testing.T) {
	path := filepath.Join(fdtest.ShortDir(t), "notify")
	manager := program.Must(scm.ListenPacket(context.Background(), "unixgram", path))
	defer func() { _ = manager.Close() }()
	var store []*os.File
	defer func() {
		for _, f := range store {
			_ = f.Close()
		}
	}()
	other := program.Must(create("another file with the same name"))
	defer func() { _ = other.Close() }()
	for i := range 3 {
		service := program.Command()
		service.Env = append(service.Env, "NOTIFY_SOCKET="+path)
		passed := store
		if len(store) > 0 {
			passed = append(slices.Clone(store), other)
			service.Env = append(service.Env, fmt.Sprint("LISTEN_FDS=", len(passed)), "LISTEN_FDNAMES=state:state")
		}
		// LISTEN_PID must be the PID of the service itself, hence the exec.
		cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$; exec "$0"`, service.Path)
		cmd.Env, cmd.ExtraFiles = service.Env, passed
		p := program.Start(t, cmd)

		want := []string{"FDSTORE=1\nFDNAME=state", "READY=1", "BARRIER=1"}
		if i > 0 {
			want = want[1:]
		}
		for _, text := range want {
			_ = manager.SetDeadline(time.Now().Add(time.Minute))
			got, files, err := wire.RecvFiles(wire.Notify, manager)
			if err != nil || got != text {
				t.Fatalf("got %q, %v; want %q", got, err, text)
			}
			if text == "BARRIER=1" {
				_ = files[0].Close() // releases the barrier
			} else {
				store = append(store, files...)
			}
		}
		if out, stderr, err := p.Wait(); err != nil || out != fmt.Sprintf("start %d\n", i+1) {
			t.Fatalf("start %d: printed %q and %q, and ended with %v", i+1, out, stderr, err)
		}
	}
}
