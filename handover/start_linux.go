package handover

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// start starts a successor and returns a function that waits for it to exit. If there is a service manager, the
// successor becomes its child, as this process is, because systemd does not notice the exit of a main process that is
// the child of another process. Before Linux 5.3, such a process could not be waited for, so the successor becomes a
// child of this process.
func (m *manager) start(cmd *exec.Cmd) (wait func() error, err error) {
	if m == nil || !hasPIDFD() {
		return cmd.Wait, cmd.Start()
	}
	// The successor has a new watchdog, but libraries ignore it if WATCHDOG_PID names another process.
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	// Without the others, the manager would not learn that the successor is the main process.
	for _, name := range []string{"NOTIFY_SOCKET", "INVOCATION_ID", "FDSTORE"} {
		value, set := os.LookupEnv(name)
		if set && !slices.ContainsFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	pidfd := -1
	var attr syscall.SysProcAttr
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	wanted := attr.PidFD
	attr.PidFD = &pidfd
	attr.Cloneflags |= syscall.CLONE_PARENT
	cmd.SysProcAttr = &attr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if wanted != nil {
		*wanted, _ = unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	}
	return func() error {
		defer func() { _ = unix.Close(pidfd) }()
		ended := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(ended, -1); err != unix.EINTR {
				break
			}
		}
		err := cmd.Wait() // closes the files of cmd
		if errors.Is(err, unix.ECHILD) {
			err = errReaped
		}
		return err
	}, nil
}

func hasPIDFD() bool {
	fd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err == nil
}

// openPIDFD returns a pidfd of the process at the other end of conn, or -1.
func openPIDFD(conn *scm.Conn, pid int) int {
	fd, err := conn.PeerPIDFD()
	if err != nil { // before Linux 6.5
		fd, err = unix.PidfdOpen(pid, 0)
	}
	if err != nil {
		return -1
	}
	return fd
}

// hasExited reports whether the process has exited. pidfd is -1 before Linux 5.3.
func hasExited(pidfd, pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	zombie := bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
	if pidfd < 0 {
		return zombie || unix.Kill(pid, 0) == unix.ESRCH
	}
	exited := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	wait := time.Duration(0)
	if zombie { // systemd looks at this state, which comes before all threads have ended and the pidfd is readable
		wait = writeTime
	}
	n, err := unix.Poll(exited, int(wait.Milliseconds()))
	for err == unix.EINTR {
		n, err = unix.Poll(exited, int(wait.Milliseconds()))
	}
	return err == nil && n > 0
}
