package recorder

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's, of which the flags alone matter here. What follows
// them differs from processor to processor.
type sigaction struct {
	handler uintptr
	flags   uintptr
	rest    [3]uint64
}

const (
	saNoCldStop = 1
	sigsetSize  = 8 // but for mips, where nothing is recorded
)

func rtSigaction(s unix.Signal, set, was *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(was)), sigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// DefaultAction gives a signal its default action in the kernel, at once and for
// good. [os/signal.Reset] leaves the runtime's handler in place, which only then
// ends the process: one signal more inside of it, a few times over, and its
// stack is full, so that the process ends by SIGSEGV.
func DefaultAction(s unix.Signal) error { return rtSigaction(s, &sigaction{}, nil) }
