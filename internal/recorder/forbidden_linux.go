package recorder

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// A ForbiddenError is that the system does not let this process trace, or not
// that one.
type ForbiddenError struct {
	Why string // the setting that forbids it
	Err error
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("ptrace: %v: %s", e.Err, e.Why)
}

func (e *ForbiddenError) Unwrap() error { return e.Err }

// forbidden explains why a process could not be attached to.
func forbidden(pid int, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("ptrace(PTRACE_SEIZE): %w", err)
	}
	return &ForbiddenError{why(pid), err}
}

// why names what forbids it, the most certain first.
func why(pid int) string {
	target, own, in := status(pid), status(procfs.Self), container()
	yama, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope") // there is none without Yama
	scope := strings.TrimSpace(string(yama))
	privileged := capable(unix.CAP_SYS_PTRACE)
	switch {
	case ended(pid):
		return "there is no such process, or it has ended"
	case target.Field("Tgid") == own.Field("Tgid"):
		return "a process cannot trace itself"
	case target.Field("TracerPid") != "0":
		return fmt.Sprintf("process %s traces it already (TracerPid in its /proc/PID/status)", target.Field("TracerPid"))
	case target.Field("VmSize") == "":
		return "it is a kernel thread"
	case scope == "3":
		return "kernel.yama.ptrace_scope is 3: nobody can trace until the next boot"
	case scope == "2" && !privileged:
		return "kernel.yama.ptrace_scope is 2: tracing needs CAP_SYS_PTRACE; run as root, " +
			"or as root: sysctl kernel.yama.ptrace_scope=1"
	case target.Field("Uid") != own.Field("Uid") && !privileged:
		return "it belongs to another user, and this one lacks CAP_SYS_PTRACE"
	case scope == "1" && !privileged:
		return "kernel.yama.ptrace_scope is 1: only a program that the tracer started can be traced; " +
			"start it from here, run as root, or as root: sysctl kernel.yama.ptrace_scope=0"
	case in != "":
		return "the container (" + in + ") forbids ptrace; " +
			"it needs --cap-add=SYS_PTRACE or --security-opt seccomp=unconfined"
	case own.Field("Seccomp") == "2":
		return "a seccomp filter that this process is under (Seccomp: 2 in /proc/self/status) forbids ptrace"
	case !privileged:
		return "it is not dumpable (PR_SET_DUMPABLE, a set-user-ID program, or one whose file cannot be read), " +
			"and this one lacks CAP_SYS_PTRACE; or a security module forbids it"
	}
	return "a security module (SELinux, AppArmor, Smack or others) forbids it; its log says more"
}

// status is the status of a process or thread, and empty if there is none.
func status(pid int) procfs.Status {
	s, _ := procfs.ReadStatus(pid)
	return s
}

// container names what its runtime has left as a sign; empty if there is none.
func container() string {
	for path, name := range map[string]string{"/.dockerenv": "Docker", "/run/.containerenv": "Podman"} {
		if _, err := os.Stat(path); err == nil {
			return name
		}
	}
	return os.Getenv("container")
}
