package recorder

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls and structures that golang.org/x/sys does not provide.

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

// seize attaches to a thread. It uses Syscall6, because the system call may block until an
// execve(2) of the process is done.
func seize(tid, options int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, uintptr(options), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// resume resumes a stopped thread, and delivers a signal unless it is 0.
func resume(request, tid int, sig unix.Signal) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), 0, uintptr(sig), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	// At an entry, words contains the system call number and the arguments. At an exit, it
	// contains the result, and whether the result is an error.
	words [7]uint64
	_     [8]byte
}

func (i *syscallInfo) result() (value int64, failed bool) {
	isError := *(*uint8)(unsafe.Pointer(&i.words[1])) // the first byte in memory
	return int64(i.words[0]), isError != 0
}

func (i *syscallInfo) get(tid int) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(*i), uintptr(unsafe.Pointer(i)), 0, 0)
	if errno != 0 {
		return errno
	}
	// For a 32-bit call the kernel uses the lower halves of the registers. A 64-bit program can
	// make such a call with int 0x80. The upper halves can then contain anything.
	if arch := archOf(i.arch); arch != nil && arch.word == 4 && i.op != unix.PTRACE_SYSCALL_INFO_EXIT {
		for n := range i.words {
			i.words[n] = uint64(uint32(i.words[n]))
		}
	}
	return nil
}

// waitChange waits for a state change of a thread. If tid is -1, it waits for any thread that the
// calling thread has started or attached to. With WNOHANG it does not wait, and returns 0 if nothing
// has changed.
func waitChange(tid, options int) (int, unix.WaitStatus, error) {
	var status unix.WaitStatus
	n, err := wait4(tid, &status, unix.WALL|unix.WNOTHREAD|options)
	return n, status, err
}

func wait4(pid int, status *unix.WaitStatus, options int) (int, error) {
	for {
		n, err := unix.Wait4(pid, status, options, nil)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// waitable reports whether the calling thread has a child or traces a thread with this ID. If so,
// the kernel will still report at least one state change of that thread.
func waitable(tid int) bool {
	const any = unix.WEXITED | unix.WSTOPPED | unix.WALL | unix.WNOTHREAD
	return unix.Waitid(unix.P_PID, tid, nil, any|unix.WNOHANG|unix.WNOWAIT, nil) != unix.ECHILD
}

// event returns the PTRACE_EVENT_ value of a stop, and 0 for any other kind of stop.
func event(s unix.WaitStatus) int { return int(s) >> 16 }

// exitOption returns the option that stops a thread before it ends, if Options.StillOpen needs it.
func (t *tracer) exitOption() int {
	if t.o.StillOpen == nil {
		return 0
	}
	return unix.PTRACE_O_TRACEEXIT
}

// completeOptions sets exitOption for a thread that Attach has seized, and for threads that such a
// thread has created. It must not be set earlier: until an execve is done, a seize of another thread
// of the process can block. In the meantime, a thread that the execve ends would have to be resumed.
func (t *tracer) completeOptions(th *thread) {
	th.complete = true
	if t.process == nil && t.o.StillOpen != nil {
		_ = unix.PtraceSetOptions(th.tid, options|t.exitOption()) // it fails if the thread was killed
	}
}

// inExitStop reports whether a thread has stopped because of exitOption.
func inExitStop(tid int) bool {
	var info unix.Siginfo
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GETSIGINFO, uintptr(tid), 0, uintptr(unsafe.Pointer(&info)), 0, 0)
	return errno == 0 && info.Code == int32(unix.SIGTRAP)|unix.PTRACE_EVENT_EXIT<<8
}

// eventMessage returns the message of the event for which a thread has stopped. It returns false if the thread
// was killed, because the message is then lost.
func eventMessage(tid int) (id int, ok bool) {
	message, err := unix.PtraceGetEventMsg(tid)
	return int(message), err == nil && !inExitStop(tid)
}
