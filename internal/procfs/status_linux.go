package procfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Status is the text of /proc/PID/status.
type Status string

// ReadStatus returns the status of a process or thread.
func ReadStatus(pid int) (Status, error) {
	text, err := read(folder(pid) + "/status")
	return Status(text), err
}

// Field returns the value of a field, without the space around it, or "" if there is no such field.
func (s Status) Field(key string) string {
	for line := range strings.Lines(string(s)) {
		if k, value, _ := strings.Cut(line, ":"); k == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// State returns the letter of the state, such as R for running, S for sleeping or Z for a zombie. For an empty
// Status it returns 0.
func (s Status) State() byte {
	if state := s.Field("State"); state != "" {
		return state[0]
	}
	return 0
}

// HasEnded reports whether the process or thread has ended and is only waited for. The first thread of a
// process stays in this state until all other threads have ended.
func (s Status) HasEnded() bool {
	state := s.State()
	return state == 'Z' || state == 'X'
}

// IsEnding reports whether the process or thread has ended, or no longer has memory because it is about to. The files
// of such a process in /proc belong to root, so that opening them fails with EACCES for the user whose process it was.
func (s Status) IsEnding() bool {
	return s != "" && s.Field("VmSize") == ""
}

// Owner returns the effective user and group.
func (s Status) Owner() (uid, gid int, err error) {
	var realID int
	if _, err := fmt.Sscan(s.Field("Uid"), &realID, &uid); err != nil {
		return 0, 0, fmt.Errorf("parse Uid in /proc/PID/status: %w", err)
	}
	if _, err := fmt.Sscan(s.Field("Gid"), &realID, &gid); err != nil {
		return 0, 0, fmt.Errorf("parse Gid in /proc/PID/status: %w", err)
	}
	return uid, gid, nil
}

// Refusal returns why the kernel does not let this process inspect or trace another one, if the reason is the other
// process. Otherwise it returns "".
func Refusal(pid int) string {
	// Reading this link requires the same rights as tracing, except that Yama and seccomp filters have no say.
	if _, err := unix.Readlink(folder(pid)+"/exe", make([]byte, 1)); !errors.Is(err, unix.EACCES) {
		return ""
	}
	target, _ := ReadStatus(pid)
	own, _ := ReadStatus(Self)
	for _, id := range [][2]string{{"Uid", "user"}, {"Gid", "group"}} {
		one, all := strings.Fields(own.Field(id[0])), strings.Fields(target.Field(id[0]))
		// This process's own one must be the real, the effective and the saved one.
		if len(one) > 0 && len(all) > 3 && !slices.Equal(all[:3], []string{one[0], one[0], one[0]}) {
			return "it belongs to another " + id[1] + ", and this process lacks CAP_SYS_PTRACE"
		}
	}
	return "it is not dumpable (PR_SET_DUMPABLE, a set-user-ID program, or one whose file cannot be read) or has more " +
		"capabilities, and this process lacks CAP_SYS_PTRACE; or a security module forbids it"
}

// A Syscall is a system call in which a thread waits.
type Syscall struct {
	Number int
	Args   [6]uint64
}

// ReadSyscall returns the system call in which a thread waits. If it waits in none, ok is false.
func ReadSyscall(tid int) (call Syscall, ok bool, err error) {
	path := folder(tid) + "/syscall"
	text, err := read(path)
	if err != nil {
		return call, false, err
	}
	// Number, six arguments, stack pointer, program counter. Or "running", or "-1" and the last two.
	fields := strings.Fields(string(text))
	if len(fields) < 1+len(call.Args) {
		return call, false, nil
	}
	if call.Number, err = strconv.Atoi(fields[0]); err != nil {
		return call, false, &os.PathError{Op: "parse", Path: path, Err: fmt.Errorf("%w: %v", unix.ENODATA, err)}
	}
	for i := range call.Args {
		if call.Args[i], err = strconv.ParseUint(fields[1+i], 0, 64); err != nil {
			return call, false, &os.PathError{Op: "parse", Path: path, Err: fmt.Errorf("%w: %v", unix.ENODATA, err)}
		}
	}
	return call, true, nil
}
