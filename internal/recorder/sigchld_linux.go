package recorder

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Each stop of a traced thread sends SIGCHLD to its tracer, which waits for the
// stop itself: the signal only interrupts a thread of Go's. SA_NOCLDSTOP leaves
// it out; the ends of children are reported all the same.

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
	if rtSigaction(unix.SIGCHLD, nil, &a) != nil {
		return
	}
	a.flags = a.flags&^saNoCldStop | flag
	_ = rtSigaction(unix.SIGCHLD, &a, nil)
}
