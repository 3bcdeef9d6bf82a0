package procfs

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hidden is the reason that Refusal gives for a process that exists, but not in /proc.
const Hidden = "/proc does not show it (hidepid)"

// Refusal returns why the kernel does not let this process inspect or trace another one, if the reason is the other
// process. Otherwise it returns "".
func Refusal(pid int) string {
	const lacks = ", and this process lacks CAP_SYS_PTRACE"
	// Reading this link requires the same rights as tracing, except that Yama and seccomp filters have no say.
	_, err := unix.Readlink(folder(pid)+"/exe", make([]byte, 1))
	if errors.Is(err, unix.ENOENT) && !Exists(pid) && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return Hidden
	}
	if !errors.Is(err, unix.EACCES) {
		return ""
	}
	target, _ := ReadStatus(pid)
	own, _ := ReadStatus(Self)
	// The kernel compares this process's ID with the real, effective and saved IDs of the other one.
	differs := func(key string) bool {
		id, ids := strings.Fields(own.Field(key)), strings.Fields(target.Field(key))
		return len(id) > 0 && len(ids) > 3 && slices.ContainsFunc(ids[:3], func(s string) bool { return s != id[0] })
	}
	permitted := func(s Status) uint64 { n, _ := strconv.ParseUint(s.Field("CapPrm"), 16, 64); return n }
	switch {
	case differs("Uid"):
		return "it belongs to another user" + lacks
	case differs("Gid"):
		return "it belongs to another group" + lacks
	case permitted(target)&^permitted(own) != 0:
		return "it has capabilities that this process does not have" + lacks
	}
	return "it is not dumpable (PR_SET_DUMPABLE, a set-user-ID program, or one whose file cannot be read)" + lacks +
		"; or a security module forbids it"
}
