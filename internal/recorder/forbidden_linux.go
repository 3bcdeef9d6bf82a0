package recorder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// circumstances are what the answer depends on.
type circumstances struct {
	started    bool   // the target is a child, about to exec
	yama       int    // kernel.yama.ptrace_scope; -1 if there is none
	capability bool   // CAP_SYS_PTRACE
	filtered   bool   // this process is under a seccomp filter
	tracer     int    // who traces this process; 0 if nobody does
	container  string // what it is in, if that is known

	// The target.
	gone      bool
	kernel    bool // a kernel thread
	tracedBy  int
	sameUser  bool // all of its user and group numbers are the tracer's
	readable  bool // its memory: false for one that is not dumpable, or in another user namespace
	ownThread bool // it is the tracer itself
}

// why names what forbids it, the most certain first.
func (c *circumstances) why() string {
	switch {
	case c.gone:
		return "there is no such process, or it has ended"
	case c.ownThread:
		return "a process cannot trace itself"
	case c.tracedBy != 0:
		return fmt.Sprintf("process %d traces it already (TracerPid in its /proc/PID/status)", c.tracedBy)
	case c.started && c.tracer != 0:
		return fmt.Sprintf("process %d traces this one, and with it its children (TracerPid in /proc/self/status)", c.tracer)
	case c.kernel:
		return "it is a kernel thread"
	case c.yama == 3:
		return "kernel.yama.ptrace_scope is 3: nobody can trace until the next boot"
	case c.yama == 2 && !c.capability:
		return "kernel.yama.ptrace_scope is 2: tracing needs CAP_SYS_PTRACE; run as root, or as root: sysctl kernel.yama.ptrace_scope=1"
	case !c.started && !c.sameUser && !c.capability:
		return "it belongs to another user, and this one lacks CAP_SYS_PTRACE"
	case !c.started && c.yama == 1 && !c.capability:
		return "kernel.yama.ptrace_scope is 1: only a program that the tracer started can be traced; start it from here, run as root, or as root: sysctl kernel.yama.ptrace_scope=0"
	case !c.started && !c.readable && !c.capability:
		return "it is not dumpable (PR_SET_DUMPABLE, a set-user-ID program, or one whose file cannot be read), and this one lacks CAP_SYS_PTRACE"
	case c.filtered && c.container != "":
		return "a seccomp filter of the container (" + c.container + ") forbids ptrace; it needs --cap-add=SYS_PTRACE or --security-opt seccomp=unconfined"
	case c.filtered:
		return "a seccomp filter that this process is under (Seccomp: 2 in /proc/self/status) forbids ptrace"
	case c.container != "" && !c.capability:
		return "the container (" + c.container + ") lacks the capability SYS_PTRACE; it needs --cap-add=SYS_PTRACE"
	}
	return "a security module (SELinux, AppArmor, Smack or others) forbids it; its log says more"
}

// forbiddenToStart returns nil if a child can be traced: then it was the exec
// that was refused.
func forbiddenToStart() error {
	c := here()
	c.started = true
	if c.tracer != 0 || c.yama >= 2 && !c.capability || c.yama == 3 || c.filtered && !canTraceMe() {
		return &ForbiddenError{c.why(), unix.EPERM}
	}
	return nil
}

// canTraceMe asks ptrace for something that does nothing: under a filter that
// forbids ptrace the answer is another than for the number of no process.
func canTraceMe() bool {
	return errors.Is(ptraceNumber(unix.PTRACE_INTERRUPT, -1, 0), unix.ESRCH)
}

// forbiddenToSeize explains why a process could not be attached to.
func forbiddenToSeize(pid int, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("ptrace(PTRACE_SEIZE): %w", err)
	}
	c := here()
	c.target(pid)
	return &ForbiddenError{c.why(), err}
}

// here is what is so whatever the target.
func here() circumstances {
	c := circumstances{yama: -1, capability: mayTraceAnyone(), container: container()}
	if text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			c.yama = n
		}
	}
	self := status("self")
	c.filtered = self["Seccomp"] == "2"
	c.tracer = tracerOf(self)
	return c
}

// tracerOf is the process that traces one; 0 if none does.
func tracerOf(s map[string]string) int {
	// TracerPid is the number of a thread; its process may be out of sight.
	for _, text := range []string{status(s["TracerPid"])["Tgid"], s["TracerPid"]} {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return 0
}

func (c *circumstances) target(pid int) {
	s := status(strconv.Itoa(pid))
	if c.gone = ended(pid); c.gone {
		return
	}
	own := status("self")
	c.tracedBy = tracerOf(s)
	c.ownThread = s["Tgid"] == own["Tgid"]
	c.kernel = s["VmSize"] == ""
	c.sameUser = sameIDs(s["Uid"]) && sameIDs(s["Gid"]) && first(s["Uid"]) == first(own["Uid"]) && first(s["Gid"]) == first(own["Gid"])
	// The kernel gives the files of one that is not dumpable to root.
	var st unix.Stat_t
	c.readable = unix.Stat(filepath.Join("/proc", strconv.Itoa(pid), "environ"), &st) == nil &&
		strconv.FormatUint(uint64(st.Uid), 10) == first(s["Uid"])
}

// sameIDs reports whether the real, effective, saved and file system numbers are one.
func sameIDs(ids string) bool {
	for _, id := range strings.Fields(ids) {
		if id != first(ids) {
			return false
		}
	}
	return true
}

func first(ids string) string {
	id, _, _ := strings.Cut(ids, "\t")
	return id
}

// status is /proc/PID/status, and empty if there is none.
func status(pid string) map[string]string {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return nil
	}
	s := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			s[key] = strings.TrimSpace(value)
		}
	}
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
