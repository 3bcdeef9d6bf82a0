package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// If a program exists and cannot be started, the error says why.
func TestStartExplains(t *testing.T) {
	dir := t.TempDir()
	starts := func(name, text, want string) {
		t.Helper()
		file := filepath.Join(dir, name)
		fdtest.Must(t, os.WriteFile(file, []byte(text), 0o700))
		if _, err := Start(scenario.Program("x", file), nil, scenario.User{}, nil); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if reexec.Name() == "" {
		starts("no interpreter", "#!/nonexistent/sh\n", ": no such file or directory (the program exists, but its interpreter or loader does not)")
		starts("no program", "echo ok\n", ": exec format error (it is not a program for this machine, and a script must begin with #!)")
		attr, err := reexec.InUserNamespace()
		if err != nil {
			t.Skip(err)
		}
		cmd := reexec.TestCommand(t)
		cmd.SysProcAttr = attr
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("peer", dir, "tmpfs", unix.MS_NOEXEC, ""))
	fdtest.Must(t, err)
	starts("noexec", "#!/bin/sh\n", ": permission denied (its file system is mounted with noexec)")
	fdtest.Must(t, unix.Unmount(dir, 0))
}
