//go:build linux

package handover

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/reexec"
)

// nobody is the ID of a user other than root.
const nobody = 65534

// as lets a user run a command.
func as(user uint32, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

// startAs starts a server as a user.
func (w *processes) startAs(user uint32) *server {
	w.t.Helper()
	return w.run(as(user, reexec.Command("web", w.path)))
}

// By default, only the same user and root may take over.
func TestUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
	w := newProcesses(t, nothing)
	a := w.first()
	if mode := must(os.Stat(w.path)).Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket has the mode %o", mode)
	}
	if err := os.Chmod(filepath.Dir(w.path), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := as(nobody, exec.Command("ls", filepath.Dir(w.path))).CombinedOutput(); err != nil {
		t.Skipf("another user cannot use this directory: %v %s", err, out)
	}
	w.startAs(nobody).says("failed", "permission denied")
	if err := os.Chmod(w.path, 0o666); err != nil {
		t.Fatal(err)
	}
	w.startAs(nobody).says("failed", "user 65534 may not take over from user 0")
	a.says("log", "user 65534 may not take over from user 0")
	a.only()

	w = newProcesses(t, nothing)
	if err := os.Chown(filepath.Dir(w.path), nobody, nobody); err != nil {
		t.Fatal(err)
	}
	w.startAs(nobody).says("serving")
	w.startAs(nobody).says("serving")
	w.startAs(0).only()
}

// The first process of a PID namespace cannot be replaced, because the others end with it.
func TestUpgradeOfProcess1(t *testing.T) {
	cmd, _, lines := command(t, reexec.Command("server", socketPath(t)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	if err := cmd.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("this user cannot create a PID namespace: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	if got := next(t, lines); !strings.HasPrefix(got, "serving 1 ") {
		t.Fatal(got)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := next(t, lines); !strings.HasPrefix(got, "failed handover: process 1 cannot be replaced") {
		t.Error(got)
	}
}
