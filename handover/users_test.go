//go:build linux

package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
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
func (w *processes) startAs(user uint32) *webServer {
	w.t.Helper()
	return w.run(as(user, reexec.Command("web", w.path)))
}

// By default, only the same user and root may take over.
func TestUsers(t *testing.T) {
	fdtest.NeedRoot(t, "start processes of other users")
	w := newProcesses(t, nothing)
	a := w.first()
	if mode := must(os.Stat(w.path)).Mode().Perm(); mode != 0o600 {
		t.Errorf("the socket has the mode %o", mode)
	}
	fdtest.Must(t, os.Chmod(filepath.Dir(w.path), 0o755))
	if out, err := as(nobody, exec.Command("ls", filepath.Dir(w.path))).CombinedOutput(); err != nil {
		t.Skipf("another user cannot use this directory: %v %s", err, out)
	}
	w.startAs(nobody).says("failed", "permission denied")
	fdtest.Must(t, os.Chmod(w.path, 0o666))
	for range 2 { // the first process, and one that has received the Unix socket
		w.startAs(nobody).says("failed", "user 65534 may not take over from user 0")
		a.says("log", "user 65534 may not take over from user 0")
		a.only()
		a = w.start()
		a.only()
	}
}

// A successor takes sockets only from its own user and root. The kernel reports the user that has called Start first.
func TestUsersOfThePredecessor(t *testing.T) {
	fdtest.NeedRoot(t, "start processes of other users")
	const root, other = 0, nobody - 1
	becomes := fmt.Sprint("user=", nobody)
	for _, c := range []struct {
		predecessor, successor uint32
		later                  string // an option of the predecessor
		refused                bool
	}{
		{root, root, "", false},
		{root, root, becomes, false},
		{root, nobody, becomes, false},
		{nobody, nobody, "", false}, // also the number of all users that a user namespace does not have
		{nobody, root, "", true},
		{nobody, other, "", true},
		{other, nobody, "", true},
	} {
		w := newProcesses(t, nothing)
		a := w.startOpen(c.predecessor, c.later)
		b := w.startAs(c.successor)
		if !c.refused {
			b.only()
			continue
		}
		b.says("failed", fmt.Sprintf("belongs to user %d, but only user %d and root", c.predecessor, c.successor))
		a.only()
	}
	w := newProcesses(t, nothing)
	w.startOpen(nobody)
	cmd := reexec.Command("web", w.path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: []syscall.SysProcIDMap{{Size: 1}}}
	if err := exec.Command("unshare", "--user", "true").Run(); err != nil {
		t.Skip("this user cannot create a user namespace: ", err)
	}
	w.run(cmd).says("failed", "belongs to user 65534, but only user 0 and root")
}

// startOpen starts a server as a user, with a socket to which every user can connect.
func (w *processes) startOpen(user uint32, options ...string) *webServer {
	w.t.Helper()
	if err := os.Chmod(filepath.Dir(w.path), 0o777); err != nil {
		w.t.Fatal(err)
	}
	s := w.run(as(user, reexec.Command("web", append([]string{w.path}, options...)...)))
	s.says("serving")
	if err := os.Chmod(w.path, 0o666); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func init() {
	reexec.Register("squatter", func(args []string) {
		l := must(net.Listen("unix", args[0]))
		fmt.Println("listening")
		text, err := io.ReadAll(must(l.Accept()))
		fmt.Println(len(text), err)
	})
}

// Another user waits at the path, and gets nothing.
func TestSquatter(t *testing.T) {
	fdtest.NeedRoot(t, "start processes of other users")
	noLeak(t)
	dir := fdtest.ShortDir(t)
	fdtest.Must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	address := filepath.Join(dir, "socket")
	cmd, _, lines := command(t, as(nobody, reexec.Command("squatter", address)))
	fdtest.Must(t, cmd.Start())
	next(t, lines)
	_, err := Start(patient(t), address)
	wantError(t, err, "belongs to user 65534, but only user 0 and root")
	if got := next(t, lines); got != "0 <nil>" {
		t.Errorf("the squatter has received %s", got)
	}
	fdtest.Must(t, cmd.Wait())
}

// The first process of a PID namespace cannot be replaced, because the others end with it.
func TestUpgradeOfProcess1(t *testing.T) {
	cmd, _, lines := command(t, reexec.Command("server", socketPath(t)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		// If the kernel refuses a user namespace, package syscall leaves a pipe open.
		if err := exec.Command("unshare", "--user", "true").Run(); err != nil {
			t.Skip("this user cannot create a user namespace: ", err)
		}
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
	fdtest.Must(t, cmd.Process.Signal(syscall.SIGHUP))
	if got := next(t, lines); !strings.HasPrefix(got, "failed handover: process 1 cannot be replaced") {
		t.Error(got)
	}
}

// A container ends with the child of its process 1, if that is a small init. Other programs start another child.
func TestUpgradeBelowProcess1(t *testing.T) {
	args := []string{"--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"}
	if out, err := exec.Command("unshare", append(args, "true")...).CombinedOutput(); err != nil {
		t.Skipf("this user cannot create the namespaces of a container: %v %s", err, out)
	}
	for name, want := range map[string]string{"tini": "failed handover: this process cannot be replaced", "supervisord": "serving "} {
		init := filepath.Join(t.TempDir(), name)
		fdtest.Must(t, os.Symlink("/bin/sh", init))
		cmd, in, lines := command(t, reexec.Command("server", socketPath(t)))
		err := reexec.Under(cmd, must(exec.LookPath("unshare")), append(args, init, "-c", `"$@" & read line; kill -HUP $!; read line`, name)...)
		fdtest.Must(t, errors.Join(err, cmd.Start()))
		defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
		next(t, lines) // it serves
		_, _ = io.WriteString(in, "\n")
		if got := next(t, lines); !strings.HasPrefix(got, want) {
			t.Errorf("below %s: %s", name, got)
		}
	}
}
