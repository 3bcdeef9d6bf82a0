package recorder

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// An injector makes system calls in the place of a thread that stands before
// the first instruction of its program.
type injector struct {
	tid  int
	arch *Arch
	ip   uintptr
	sp   uintptr
}

func newInjector(tid int) (*injector, error) {
	var info syscallInfo
	if err := info.get(tid); err != nil {
		return nil, noSyscallInfo(err)
	}
	arch := archOf(info.arch)
	if arch == nil {
		return nil, fmt.Errorf("a program for another processor (AUDIT_ARCH %#x): this recorder knows %s", info.arch, known())
	}
	return &injector{tid, arch, uintptr(info.ip), uintptr(info.sp)}, nil
}

func noSyscallInfo(err error) error {
	if err == unix.EIO || err == unix.EINVAL {
		return fmt.Errorf("ptrace(PTRACE_GET_SYSCALL_INFO): %w: the recorder needs Linux 5.3", err)
	}
	return fmt.Errorf("ptrace(PTRACE_GET_SYSCALL_INFO): %w", err)
}

func known() string {
	text := ""
	for i, a := range recordable {
		if i > 0 {
			text += ", "
		}
		text += a.Name
	}
	return text
}

// call makes the named system call, and puts everything back as it was.
// errno is the call's own; err is why it could not be made.
func (in *injector) call(name string, args ...uint64) (errno syscall.Errno, err error) {
	var saved registers
	if err := saved.get(in.tid); err != nil {
		return 0, err
	}
	var six [6]uint64
	copy(six[:], args)
	regs := saved
	instruction := regs.call(in.arch, in.arch.number(name), six)

	text := make([]byte, len(instruction))
	if _, err := unix.PtracePeekText(in.tid, in.ip, text); err != nil {
		return 0, err
	}
	if _, err := unix.PtracePokeText(in.tid, in.ip, instruction); err != nil {
		return 0, err
	}
	if err := regs.set(in.tid); err != nil {
		return 0, err
	}
	errno, err = in.run()
	if err != nil {
		return 0, err
	}
	if _, err := unix.PtracePokeText(in.tid, in.ip, text); err != nil {
		return 0, err
	}
	return errno, saved.set(in.tid)
}

// run lets the thread make its call. All signals are blocked.
func (in *injector) run() (syscall.Errno, error) {
	for {
		if err := resume(unix.PTRACE_SYSCALL, in.tid, 0); err != nil {
			return 0, err
		}
		_, status, err := waitStop(in.tid)
		if err != nil {
			return 0, err
		}
		if !status.Stopped() {
			return 0, &endedError{status}
		}
		if status.StopSignal() != syscall.SIGTRAP|0x80 {
			continue // a stop of the whole process: it is looked at when the program runs
		}
		var info syscallInfo
		if err := info.get(in.tid); err != nil {
			return 0, err
		}
		if info.op != unix.PTRACE_SYSCALL_INFO_EXIT {
			continue
		}
		if value, failed := info.result(); failed {
			return syscall.Errno(-value), nil
		}
		return 0, nil
	}
}

// endedError is that the program was killed before it could begin.
type endedError struct{ status unix.WaitStatus }

func (e *endedError) Error() string { return "the program was killed before it began" }

// install puts the filter into the program. false: it cannot be had without
// changing what the program may do.
func (in *injector) install(prog []unix.SockFilter) (bool, error) {
	image := make([]byte, 0, 8*len(prog)+16)
	for _, f := range prog {
		image = order.AppendUint16(image, f.Code)
		image = append(image, f.Jt, f.Jf)
		image = order.AppendUint32(image, f.K)
	}
	// Below the stack, where nothing is yet.
	at := (in.sp - 4096) &^ 15
	fprog := len(image)
	image = order.AppendUint16(image, uint16(len(prog)))
	image = append(image, make([]byte, in.arch.word-2)...)
	if in.arch.word == 4 {
		image = order.AppendUint32(image, uint32(at))
	} else {
		image = order.AppendUint64(image, uint64(at))
	}
	was := make([]byte, len(image))
	if _, err := unix.PtracePeekData(in.tid, at, was); err != nil {
		return false, nil
	}
	if _, err := unix.PtracePokeData(in.tid, at, image); err != nil {
		return false, nil
	}

	seccomp := func() (syscall.Errno, error) {
		return in.call("seccomp", unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uint64(at)+uint64(fprog))
	}
	errno, err := seccomp()
	if err == nil && errno == unix.EACCES && !mayTraceAnyone() {
		// It needs no_new_privs or CAP_SYS_ADMIN. A set-user-ID program that
		// this tracer traces gains nothing with or without it.
		if errno, err = in.call("prctl", unix.PR_SET_NO_NEW_PRIVS, 1); err == nil && errno == 0 {
			errno, err = seccomp()
		}
	}
	if err != nil {
		return false, err
	}
	_, err = unix.PtracePokeData(in.tid, at, was)
	return errno == 0, err
}

// mayTraceAnyone reports whether this thread has CAP_SYS_PTRACE.
func mayTraceAnyone() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&head, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}
