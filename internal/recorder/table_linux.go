package recorder

import (
	"fmt"
	"slices"
	"strings"
)

// none is the number of a call that an architecture does not have.
const none = -1

// A tableRow contains the number of a system call on each architecture, and describes its arguments.
type tableRow struct {
	name                                      string
	amd64, i386, generic, arm, ppc64le, s390x int // generic: arm64 and riscv64
	arguments                                 string
}

// table lists the calls with messages, and those that a backend or Go's runtime is likely to make
// in a section. For any other call, the recorder records only the number, the registers and the
// result. It does not know which registers are arguments of such a call, so two such calls always
// compare as different. If the arguments of a call depend on the architecture, the call has several
// rows.
//
// In the last column, each word is a key of argKinds that describes one argument. The word after the = describes the
// result. It is omitted for a plain integer. In a call with messages, argument 1 points to the messages. mmsg points to
// an array, whose length is argument 2. Argument 4 is the timeout, if the call has one.
var table = []tableRow{
	{"read", 0, 3, 63, 3, 3, 3, "fd addr word"},
	{"write", 1, 4, 64, 4, 4, 4, "fd addr word"},
	{"close", 3, 6, 57, 6, 6, 6, "fd"},
	{"fcntl", 72, 55, 25, 55, 55, 55, "fd int word"},
	{"fcntl64", none, 221, none, 221, none, none, "fd int word"},
	{"epoll_pwait", 281, 319, 22, 346, 303, 312, "fd addr int int addr word"},
	{"getsockopt", 55, 365, 209, 295, 340, 365, "fd int int addr addr"},
	{"sendmsg", 46, 370, 211, 296, 341, 370, "fd msg flags"},
	{"recvmsg", 47, 372, 212, 297, 342, 372, "fd msg flags"},
	{"sendmmsg", 307, 345, 269, 374, 349, 358, "fd mmsg int flags"},
	{"recvmmsg", 299, 337, 243, 365, 343, 357, "fd mmsg int flags timeout"},
	{"recvmmsg_time64", none, 417, none, 417, none, none, "fd mmsg int flags timeout64"},
	{"socketcall", none, 102, none, none, 102, 102, "int addr"},
	{"mmap", 9, none, 222, none, 90, none, "addr word int int fd word = addr"},
	{"mmap", none, 90, none, none, none, 90, "addr = addr"},
	{"mmap2", none, 192, none, 192, none, none, "addr word int int fd word = addr"},
	{"munmap", 11, 91, 215, 91, 91, 91, "addr word"},
	{"mprotect", 10, 125, 226, 125, 125, 125, "addr word int"},
	{"madvise", 28, 219, 233, 220, 205, 219, "addr word int"},
	{"brk", 12, 45, 214, 45, 45, 45, "addr = addr"},
	{"futex", 202, 240, 98, 240, 221, 238, "addr int int addr addr int"},
	{"futex_time64", none, 422, none, 422, none, none, "addr int int addr addr int"},
	{"rt_sigaction", 13, 174, 134, 174, 173, 174, "int addr addr word"},
	{"rt_sigprocmask", 14, 175, 135, 175, 174, 175, "int addr addr word"},
	{"rt_sigreturn", 15, 173, 139, 173, 172, 173, "= nothing"},
	{"sigreturn", none, 119, none, 119, 119, 119, "= nothing"},
	{"sigaltstack", 131, 186, 132, 186, 185, 186, "addr addr"},
	{"getpid", 39, 20, 172, 20, 20, 20, "= pid"},
	{"gettid", 186, 224, 178, 224, 207, 236, "= pid"},
	{"tgkill", 234, 270, 131, 268, 250, 241, "pid pid int"},
	{"nanosleep", 35, 162, 101, 162, 162, 162, "addr addr"},
	{"clock_gettime", 228, 265, 113, 263, 246, 260, "int addr"},
	{"clock_gettime64", none, 403, none, 403, none, none, "int addr"},
	{"sched_yield", 24, 158, 124, 158, 158, 158, ""},
	{"getpriority", 140, 96, 141, 96, 96, 96, "int int"},
	{"clone", 56, 120, 220, 120, 120, none, "word addr addr addr addr = pid"},
	{"clone", none, none, none, none, none, 120, "addr word addr addr addr = pid"},
}

type argKind int

const (
	argWord argKind = iota // a register
	argInt                 // the lower 32 bits of a register; the kernel ignores the rest
	argFlags
	argFD
	argPID
	argAddr      // a pointer that is not followed
	argTimeout   // a timespec of two words
	argTimeout64 // a timespec of 16 bytes
	argMsg
	argMmsg
	argNothing // the call restores the registers, and with them the result of the call that a signal interrupted
)

var argKinds = map[string]argKind{
	"word": argWord, "int": argInt, "flags": argFlags, "fd": argFD, "pid": argPID, "addr": argAddr,
	"timeout": argTimeout, "timeout64": argTimeout64, "msg": argMsg, "mmsg": argMmsg, "nothing": argNothing,
}

// A signature describes the arguments and the result of a call.
type signature struct {
	name   string
	params []argKind
	result argKind
}

func (r *tableRow) parse() *signature {
	s := &signature{name: r.name}
	args, result, _ := strings.Cut(r.arguments, "=")
	for _, word := range strings.Fields(args) {
		s.params = append(s.params, mustKind(word))
	}
	if result = strings.TrimSpace(result); result != "" {
		s.result = mustKind(result)
	}
	return s
}

func mustKind(word string) argKind {
	kind, ok := argKinds[word]
	if !ok {
		panic(fmt.Sprintf("no such kind of argument: %q", word))
	}
	return kind
}

// hasMessages reports whether argument 1 points to a msghdr or to an array of mmsghdrs.
func (s *signature) hasMessages() bool {
	return s != nil && len(s.params) > 1 && (s.params[1] == argMsg || s.params[1] == argMmsg)
}

// receives reports whether a call with messages receives them.
func (s *signature) receives() bool { return s != nil && strings.HasPrefix(s.name, "recv") }

// Calls returns the names of the recorded calls. They are also recorded if a program makes them
// through socketcall.
func Calls() []string { return slices.Clone(ancillary) }

// ancillary lists the calls that can carry ancillary data.
var ancillary = []string{"sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "recvmmsg_time64"}

// socketcalls maps the first argument of socketcall to the call that it performs.
var socketcalls = map[uint64]string{16: "sendmsg", 17: "recvmsg", 19: "recvmmsg", 20: "sendmmsg"}
