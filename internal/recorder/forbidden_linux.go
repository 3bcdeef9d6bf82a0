package recorder

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// A ForbiddenError reports that the system does not allow this process to trace any process, or
// to trace the given one.
type ForbiddenError struct {
	Why string // the setting or condition that forbids it
	Err error
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("ptrace: %v: %s", e.Err, e.Why)
}

func (e *ForbiddenError) Unwrap() error { return e.Err }

// forbidden returns an error that explains why the tracer could not attach to a process.
func forbidden(pid int, err error) error {
	if !isDenied(err) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("ptrace(PTRACE_SEIZE): %w", err)
	}
	return &ForbiddenError{why(pid, err), err}
}

// isDenied reports whether ptrace failed because this process may not trace the other one. EPERM is the kernel's
// own error. Security modules return EACCES, except Yama.
func isDenied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// why returns the most certain reason for an error of ptrace.
func why(pid int, err error) string {
	const module = "a security module (SELinux, AppArmor, Smack or others) forbids it; see its log"
	target, own, in := status(pid), status(procfs.Self), container()
	yama, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope") // without Yama the file does not exist
	scope := strings.TrimSpace(string(yama))
	privileged, refusal := capable(unix.CAP_SYS_PTRACE), procfs.Refusal(pid)
	switch {
	case ended(pid):
		return "there is no such process, or it has ended"
	case target.Field("Tgid") == own.Field("Tgid"):
		return "a process cannot trace itself"
	case target.Field("TracerPid") != "0":
		return fmt.Sprintf("process %s already traces it (TracerPid in its /proc/PID/status)", target.Field("TracerPid"))
	case target.Field("VmSize") == "":
		return "it is a kernel thread"
	case errors.Is(err, unix.EACCES):
		return module
	case scope == "3":
		return "kernel.yama.ptrace_scope is 3: no process can trace until the next boot"
	case refusal != "" && !privileged:
		return refusal
	case scope == "2" && !privileged:
		return "kernel.yama.ptrace_scope is 2: tracing needs CAP_SYS_PTRACE; run as root, " +
			"or as root: sysctl kernel.yama.ptrace_scope=1"
	case scope == "1" && !privileged:
		return "kernel.yama.ptrace_scope is 1: only descendants of the tracer can be traced; " +
			"start the program with this command, run as root, or as root: sysctl kernel.yama.ptrace_scope=0"
	case in != "" && !privileged:
		return "the container (" + in + ") forbids ptrace; " +
			"it needs --cap-add=SYS_PTRACE or --security-opt seccomp=unconfined"
	case own.Field("Seccomp") == "2":
		return "a seccomp filter of this process (Seccomp: 2 in /proc/self/status) forbids ptrace"
	}
	return module
}

// status returns the status of a process or thread, or an empty one if it does not exist.
func status(pid int) procfs.Status {
	s, _ := procfs.ReadStatus(pid)
	return s
}

// ended reports whether a thread has ended. When the first thread of a process ends, it stays a
// zombie until all other threads of the process have ended.
func ended(tid int) bool {
	s := status(tid)
	return s == "" || s.HasEnded()
}

// container returns the name of the container runtime, or "" if none is detected.
func container() string {
	for path, name := range map[string]string{"/.dockerenv": "Docker", "/run/.containerenv": "Podman"} {
		if _, err := os.Stat(path); err == nil {
			return name
		}
	}
	return os.Getenv("container")
}
