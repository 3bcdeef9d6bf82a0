//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// begin starts the program, which waits for one terminal at path.
func begin(t *testing.T, stdin string) (path string, p *program.Process) {
	path = filepath.Join(fdtest.ShortDir(t), "socket")
	cmd := program.Command(path)
	cmd.Stdin = strings.NewReader(stdin)
	return path, program.Start(t, cmd)
}

// send sends the file as runc does, and closes it.
func send(t *testing.T, path string, file *os.File, err error) {
	t.Helper()
	fdtest.Must(t, err)
	defer func() { _ = file.Close() }()
	conn := fdtest.Connect(t, func() (*scm.Conn, error) { return scm.Dial(context.Background(), "unix", path) })
	defer func() { _ = conn.Close() }()
	fdtest.Must(t, conn.SendFile(file.Name(), file))
}

// runc and crun send a blocking terminal.
func TestTerminal(t *testing.T) { exchange(t, false) }

// A terminal that a Go program opens with os.OpenFile is non-blocking.
func TestNonblockingTerminal(t *testing.T) { exchange(t, true) }

func exchange(t *testing.T, nonblocking bool) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("cannot open a terminal: ", err)
	}
	fdtest.Must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number := program.Must(unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN))
	fdtest.Must(t, unix.SetNonblock(int(master.Fd()), nonblocking))
	inside, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	path, p := begin(t, "typed\n")
	send(t, path, master, err)
	line := make([]byte, 64)
	n, err := inside.Read(line)
	if err != nil || string(line[:n]) != "typed\n" {
		t.Errorf("the container read %q, %v", line[:n], err)
	}
	_, _ = inside.WriteString("hello from the container\n")
	_ = inside.Close()
	p.Prints(t, "typed\r\nhello from the container\r\n")
}

func TestOtherFilesAreRejected(t *testing.T) {
	path, p := begin(t, "")
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	send(t, path, f, err)
	if out, errs, err := p.Wait(); err == nil || out != "" || !strings.Contains(errs, "not a terminal") {
		t.Errorf("not a terminal: printed %q and %q, and ended with %v; want an error", out, errs, err)
	}
}

func TestRunc(t *testing.T) {
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command("unshare", "--mount", "mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup").CombinedOutput(); err != nil {
		t.Skipf("runc needs root and its own mount namespace: %v: %s", err, out)
	}
	path, p := begin(t, "")
	if out, err := exec.Command("./runc.sh", path, "echo hello from runc").CombinedOutput(); err != nil {
		t.Fatalf("runc.sh: %v\n%s", err, out)
	}
	p.Prints(t, "hello from runc\r\n")
}
