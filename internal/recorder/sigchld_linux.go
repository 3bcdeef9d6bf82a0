package recorder

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each stop of a traced thread sends SIGCHLD to its tracer, which waits for the
// stop itself: the signal only interrupts a thread of Go's. SA_NOCLDSTOP leaves
// it out; the ends of children are told all the same.

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

// quiet counts the recordings that are under way in this process.
var quiet struct {
	sync.Mutex
	recordings int
}

// silence lasts until its result is called, and the last one of all.
func silence() (end func()) {
	quiet.Lock()
	defer quiet.Unlock()
	if quiet.recordings++; quiet.recordings == 1 {
		setNoCldStop(saNoCldStop)
	}
	return func() {
		quiet.Lock()
		defer quiet.Unlock()
		if quiet.recordings--; quiet.recordings == 0 {
			setNoCldStop(0)
		}
	}
}

// setNoCldStop sets the flag or takes it off. Without it the recorder is slower.
func setNoCldStop(flag uintptr) {
	var a sigaction
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&a)), sigsetSize, 0, 0)
	if errno != 0 {
		return
	}
	a.flags = a.flags&^saNoCldStop | flag
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&a)), 0, sigsetSize, 0, 0)
}
