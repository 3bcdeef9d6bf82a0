package recorder

import (
	"fmt"
	"slices"
	"strconv"
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

// table lists the calls that a library that passes descriptors, or a language runtime below it,
// is likely to make. For any other call, the recorder records only the number, the registers and
// the result. It does not know which registers are arguments of such a call, so two such calls
// always compare as different. If the arguments of a call depend on the architecture, the call has
// several rows.
//
// In the last column, each word is a key of argKinds that describes one argument. The word after
// the = describes the result. It is omitted for a plain integer. buf:N and out:N point to memory
// whose length in bytes is argument N. lenp:N points to memory whose length is the int that
// argument N points to. mmsg:N points to an array whose length is argument N.
var table = []tableRow{
	{"read", 0, 3, 63, 3, 3, 3, "fd out:2 word"},
	{"write", 1, 4, 64, 4, 4, 4, "fd buf:2 word"},
	{"open", 2, 5, none, 5, 5, 5, "str int int = fd"},
	{"openat", 257, 295, 56, 322, 286, 288, "fd str int int = fd"},
	{"close", 3, 6, 57, 6, 6, 6, "fd"},
	{"close_range", 436, 436, 436, 436, 436, 436, "int int int"},
	{"dup", 32, 41, 23, 41, 41, 41, "fd = fd"},
	{"dup2", 33, 63, none, 63, 63, 63, "fd fd = fd"},
	{"dup3", 292, 330, 24, 358, 316, 326, "fd fd int = fd"},
	{"fcntl", 72, 55, 25, 55, 55, 55, "fd int word = fcntl"},
	{"fcntl64", none, 221, none, 221, none, none, "fd int word = fcntl"},
	{"ioctl", 16, 54, 29, 54, 54, 54, "fd int word"},
	{"lseek", 8, 19, 62, 19, 19, 19, "fd word int"},
	{"fstat", 5, 108, 80, 108, 108, 108, "fd addr"},
	{"newfstatat", 262, none, 79, none, 291, 293, "fd str addr int"},
	{"statx", 332, 383, 291, 397, 383, 379, "fd str int int addr"},
	{"readlink", 89, 85, none, 85, 85, 85, "str out:2 word"},
	{"readlinkat", 267, 305, 78, 332, 296, 298, "fd str out:3 word"},
	{"poll", 7, 168, none, 168, 167, 168, "addr int int"},
	{"ppoll", 271, 309, 73, 336, 281, 302, "addr int addr addr word"},
	{"epoll_create1", 291, 329, 20, 357, 315, 327, "int = fd"},
	{"epoll_ctl", 233, 255, 21, 251, 237, 250, "fd int fd addr"},
	{"epoll_wait", 232, 256, none, 252, 238, 251, "fd addr int int"},
	{"epoll_pwait", 281, 319, 22, 346, 303, 312, "fd addr int int addr word"},
	{"eventfd2", 290, 328, 19, 356, 314, 323, "int int = fd"},
	{"memfd_create", 319, 356, 279, 385, 360, 350, "str int = fd"},
	{"pidfd_open", 434, 434, 434, 434, 434, 434, "pid int = fd"},
	{"pidfd_getfd", 438, 438, 438, 438, 438, 438, "fd int int = fd"},
	{"pidfd_send_signal", 424, 424, 424, 424, 424, 424, "fd int addr int"},
	{"kcmp", 312, 349, 272, 378, 354, 343, "pid pid int word word"},
	{"pipe", 22, 42, none, 42, 42, 42, "fds"},
	{"pipe2", 293, 331, 59, 359, 317, 325, "fds int"},
	{"socket", 41, 359, 198, 281, 326, 359, "int int int = fd"},
	{"socketpair", 53, 360, 199, 288, 333, 360, "int int int fds"},
	{"bind", 49, 361, 200, 282, 327, 361, "fd buf:2 int"},
	{"connect", 42, 362, 203, 283, 328, 362, "fd buf:2 int"},
	{"listen", 50, 363, 201, 284, 329, 363, "fd int"},
	{"accept", 43, none, 202, 285, 330, none, "fd lenp:2 p4 = fd"},
	{"accept4", 288, 364, 242, 366, 344, 364, "fd lenp:2 p4 int = fd"},
	{"getsockname", 51, 367, 204, 286, 331, 367, "fd lenp:2 p4"},
	{"getpeername", 52, 368, 205, 287, 332, 368, "fd lenp:2 p4"},
	{"shutdown", 48, 373, 210, 293, 338, 373, "fd int"},
	{"setsockopt", 54, 366, 208, 294, 339, 366, "fd int int buf:4 int"},
	{"getsockopt", 55, 365, 209, 295, 340, 365, "fd int int lenp:4 p4"},
	{"sendto", 44, 369, 206, 290, 335, 369, "fd buf:2 word flags buf:5 int"},
	{"recvfrom", 45, 371, 207, 292, 337, 371, "fd out:2 word flags lenp:5 p4"},
	{"sendmsg", 46, 370, 211, 296, 341, 370, "fd msg flags"},
	{"recvmsg", 47, 372, 212, 297, 342, 372, "fd msg flags"},
	{"sendmmsg", 307, 345, 269, 374, 349, 358, "fd mmsg:2 int flags"},
	{"recvmmsg", 299, 337, 243, 365, 343, 357, "fd mmsg:2 int flags timeout"},
	{"recvmmsg_time64", none, 417, none, 417, none, none, "fd mmsg:2 int flags timeout64"},
	{"io_uring_setup", 425, 425, 425, 425, 425, 425, "int addr = fd"},
	{"io_uring_enter", 426, 426, 426, 426, 426, 426, "int int int int addr word"},
	{"ptrace", 101, 26, 117, 26, 26, 26, "int pid addr addr"},
	{"socketcall", none, 102, none, none, 102, 102, "int addr"},
	{"unlink", 87, 10, none, 10, 10, 10, "str"},
	{"unlinkat", 263, 301, 35, 328, 292, 294, "fd str int"},
	{"chmod", 90, 15, none, 15, 15, 15, "str int"},
	{"fchmod", 91, 94, 52, 94, 94, 94, "fd int"},
	{"fchmodat", 268, 306, 53, 333, 297, 299, "fd str int"},
	{"umask", 95, 60, 166, 60, 60, 60, "int"},
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
	{"getppid", 110, 64, 173, 64, 64, 64, "= pid"},
	{"getuid", 102, 24, 174, 24, 24, 199, ""},
	{"getuid32", none, 199, none, 199, none, none, ""},
	{"geteuid", 107, 49, 175, 49, 49, 201, ""},
	{"geteuid32", none, 201, none, 201, none, none, ""},
	{"getgid", 104, 47, 176, 47, 47, 200, ""},
	{"getgid32", none, 200, none, 200, none, none, ""},
	{"getegid", 108, 50, 177, 50, 50, 202, ""},
	{"getegid32", none, 202, none, 202, none, none, ""},
	{"kill", 62, 37, 129, 37, 37, 37, "pid int"},
	{"tgkill", 234, 270, 131, 268, 250, 241, "pid pid int"},
	{"nanosleep", 35, 162, 101, 162, 162, 162, "addr addr"},
	{"clock_nanosleep", 230, 267, 115, 265, 248, 262, "int int addr addr"},
	{"clock_nanosleep_time64", none, 407, none, 407, none, none, "int int addr addr"},
	{"clock_gettime", 228, 265, 113, 263, 246, 260, "int addr"},
	{"clock_gettime64", none, 403, none, 403, none, none, "int addr"},
	{"sched_yield", 24, 158, 124, 158, 158, 158, ""},
	{"getrandom", 318, 355, 278, 384, 359, 349, "addr word int"},
	{"getpriority", 140, 96, 141, 96, 96, 96, "int int"},
	{"seccomp", 317, 354, 277, 383, 358, 348, "int int addr"},
	{"prctl", 157, 172, 167, 172, 171, 172, "int word word word word"},
	{"prlimit64", 302, 340, 261, 369, 325, 334, "pid int addr addr"},
	{"set_robust_list", 273, 311, 99, 338, 300, 304, "addr word"},
	{"rseq", 334, 386, 293, 398, 387, 383, "addr int int int"},
	{"clone", 56, 120, 220, 120, 120, none, "word addr addr addr addr = pid"},
	{"clone", none, none, none, none, none, 120, "addr word addr addr addr = pid"},
	{"clone3", 435, 435, 435, 435, 435, 435, "addr word = pid"},
	{"fork", 57, 2, none, 2, 2, 2, "= pid"},
	{"vfork", 58, 190, none, 190, 189, 190, "= pid"},
	{"execve", 59, 11, 221, 11, 11, 11, "str addr addr"},
	{"execveat", 322, 358, 281, 387, 362, 354, "fd str addr addr int"},
	{"exit", 60, 1, 93, 1, 1, 1, "int"},
	{"exit_group", 231, 252, 94, 248, 234, 248, "int"},
	{"wait4", 61, 114, 260, 114, 114, 114, "pid addr int addr = pid"},
	{"waitid", 247, 284, 95, 280, 272, 281, "int pid addr int addr"},
}

type argKind int

const (
	argWord argKind = iota // a register
	argInt                 // the lower 32 bits of a register; the kernel ignores the rest
	argFlags
	argFD
	argPID
	argAddr // a pointer that is not followed
	argStr  // a string that ends in a NUL
	argBuf
	argOut // memory that the call fills; its result is the length
	argLenp
	argFDs       // int[2]
	argP4        // 4 bytes
	argTimeout   // a timespec of two words
	argTimeout64 // a timespec of 16 bytes
	argMsg
	argMmsg
	argFcntl   // the result of fcntl: a descriptor if the command is F_DUPFD or F_DUPFD_CLOEXEC
	argNothing // the call restores the registers, and with them the result of the call that a signal interrupted
)

var argKinds = map[string]argKind{
	"word": argWord, "int": argInt, "flags": argFlags, "fd": argFD, "pid": argPID, "addr": argAddr, "str": argStr,
	"buf": argBuf, "out": argOut, "lenp": argLenp, "fds": argFDs, "p4": argP4, "timeout": argTimeout, "timeout64": argTimeout64,
	"msg": argMsg, "mmsg": argMmsg, "fcntl": argFcntl, "nothing": argNothing,
}

// A parameter describes an argument of a call.
type parameter struct {
	kind     argKind
	lengthAt int // the index of the argument that contains the length
}

// A signature describes the arguments and the result of a call.
type signature struct {
	name   string
	params []parameter
	result argKind
}

func (r *tableRow) parse() *signature {
	s := &signature{name: r.name}
	args, result, _ := strings.Cut(r.arguments, "=")
	for _, word := range strings.Fields(args) {
		kind, of, _ := strings.Cut(word, ":")
		p := parameter{kind: mustKind(kind)}
		if of != "" {
			n, err := strconv.Atoi(of)
			if err != nil {
				panic(err)
			}
			p.lengthAt = n
		}
		s.params = append(s.params, p)
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

// isTimeout reports whether an argument is a timespec that the call reads, and in which the
// kernel stores the remaining time.
func (k argKind) isTimeout() bool { return k == argTimeout || k == argTimeout64 }

// messagesAt returns the index of the argument that points to a msghdr or to an array of
// mmsghdrs, and -1 if the call has none.
func (s *signature) messagesAt() int {
	if s == nil {
		return -1
	}
	for i, p := range s.params {
		if p.kind == argMsg || p.kind == argMmsg {
			return i
		}
	}
	return -1
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
