//go:build unix && !linux

package handover_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

func TestMain(m *testing.M) {
	reexec.Register("generation", func(args []string) {
		if err := serve(args[0], args[1:]); err != nil {
			panic(err)
		}
	})
	reexec.Main()
	os.Exit(m.Run())
}

// serve tells one client the IDs of this process and of the one that started it, and hands over to as many others as
// there are arguments.
func serve(path string, successors []string) error {
	ctx, parent := context.Background(), os.Getppid()
	p, err := handover.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	l, err := p.Listen(ctx, "web", "unix", path+".web")
	if err == nil {
		err = p.Ready(ctx)
	}
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err == nil {
		_, err = fmt.Fprintln(conn, os.Getpid(), parent)
	}
	if err == nil && len(successors) > 0 {
		err = p.Upgrade(ctx, reexec.Command("generation", append([]string{path}, successors[1:]...)...))
	}
	return err
}

// With the defaults, processes of one user take over from each other.
func TestGenerations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	cmd := reexec.Command("generation", path, "second", "third")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	predecessor, pid, parent := os.Getpid(), 0, 0
	for range 3 {
		conn := fdtest.Connect(t, func() (net.Conn, error) { return net.Dial("unix", path+".web") })
		if _, err := fmt.Fscan(conn, &pid, &parent); err != nil || parent != predecessor {
			t.Fatalf("process %d started process %d, %v; want %d", parent, pid, err, predecessor)
		}
		predecessor = pid
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
