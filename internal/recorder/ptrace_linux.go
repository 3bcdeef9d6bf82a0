package recorder

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What golang.org/x/sys has no function for.

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

func ptrace(request, tid int, addr uintptr, data unsafe.Pointer) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, uintptr(data), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// ptraceNumber is ptrace with a number for its last argument.
func ptraceNumber(request, tid int, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// seize may wait for an execve(2) of the process: the scheduler knows.
func seize(tid, options int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, uintptr(options), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// resume lets a stopped thread run on, with a signal or 0.
func resume(request, tid int, sig unix.Signal) error {
	return ptraceNumber(request, tid, uintptr(sig))
}

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	// The number and the arguments at an entry; at an exit the result and
	// whether it is an error.
	words [7]uint64
	_     [8]byte
}

func (i *syscallInfo) result() (value int64, failed bool) {
	return int64(i.words[0]), byte(i.words[1]) != 0
}

// traceMe reports whether a thread is about to ask to be traced by its parent.
func (i *syscallInfo) traceMe() bool {
	arch := archOf(i.arch)
	return arch != nil && i.words[0] == uint64(arch.number("ptrace")) && i.words[1] == unix.PTRACE_TRACEME
}

func (i *syscallInfo) get(tid int) error {
	_, err := ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(*i), unsafe.Pointer(i))
	// Of a 32-bit call the kernel takes the lower halves of the registers. A 64-bit program
	// can make one, by int 0x80, with anything in the upper ones.
	if arch := archOf(i.arch); err == nil && arch != nil && arch.word == 4 && i.op != unix.PTRACE_SYSCALL_INFO_EXIT {
		for n := range i.words {
			i.words[n] = uint64(uint32(i.words[n]))
		}
	}
	return err
}

// signals is a set of them, as the kernel has it.
type signals uint64

const allSignals = ^signals(0)

func (s signals) without(sig unix.Signal) signals { return s &^ (1 << (sig - 1)) }

func blocked(tid int) (s signals, err error) {
	_, err = ptrace(unix.PTRACE_GETSIGMASK, tid, unsafe.Sizeof(s), unsafe.Pointer(&s))
	return s, err
}

func block(tid int, s signals) error {
	_, err := ptrace(unix.PTRACE_SETSIGMASK, tid, unsafe.Sizeof(s), unsafe.Pointer(&s))
	return err
}

// refusedBySeccomp reports whether a SIGSYS of seccomp waits for the stopped thread. The
// kernel takes such a signal off those that the thread blocks: one that looks the same and
// is blocked, the program has queued itself.
func refusedBySeccomp(tid int) bool {
	if mask, err := blocked(tid); err != nil || mask != mask.without(unix.SIGSYS) {
		return false
	}
	const sysSeccomp = 1 // SYS_SECCOMP, an si_code
	args := struct {     // struct ptrace_peeksiginfo_args
		off   uint64
		flags uint32
		nr    int32
	}{nr: 1}
	var info struct {
		signo, errno, code int32
		_                  [116]byte
	}
	for ; ; args.off++ {
		n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_PEEKSIGINFO, uintptr(tid),
			uintptr(unsafe.Pointer(&args)), uintptr(unsafe.Pointer(&info)), 0, 0)
		if errno != 0 || n == 0 {
			return false
		}
		if unix.Signal(info.signo) == unix.SIGSYS && info.code == sysSeccomp {
			return true
		}
	}
}

// waitStop waits for a change of one thread of ours, or with -1 of any of
// those that this very thread started or attached to.
func waitStop(tid int) (int, unix.WaitStatus, error) { return waitChange(tid, 0) }

// waitChange is waitStop; with WNOHANG it does not wait, and returns 0 if there
// was no change.
func waitChange(tid, options int) (int, unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		n, err := unix.Wait4(tid, &status, unix.WALL|unix.WNOTHREAD|options, nil)
		if err != unix.EINTR {
			return n, status, err
		}
	}
}

// waitable reports whether this very thread has a child or traces a thread of that number:
// then a change of it was not reported yet, or will happen.
func waitable(tid int) bool {
	const any = unix.WEXITED | unix.WSTOPPED | unix.WALL | unix.WNOTHREAD
	return unix.Waitid(unix.P_PID, tid, nil, any|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD
}

// event is the PTRACE_EVENT_… of a stop, and 0 if it is another kind of stop.
func event(s unix.WaitStatus) int { return int(s) >> 16 }
