package ownthread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Run calls f on a thread that ends when f returns. What f changes in the thread ends with it: its descriptor table,
// its user, its signal mask, or which threads it traces. Run returns after f, but possibly before the thread has
// ended.
//
// The thread is not the first thread of the process. Go never ends that one, and /proc would show the changes as
// the state of the process. The thread has no children either: f might wait for them, and when the thread ends,
// the kernel would send them their parent-death signal.
func Run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() || hasChildren() {
			// While this goroutine is locked to its thread, a new goroutine runs on a different thread.
			Run(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// hasChildren reports whether the calling thread has children to wait for.
func hasChildren() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
	return err != unix.ECHILD
}
