package peers

import (
	"context"
	"os"
	"syscall"
	"time"
)

// lock waits until no other process builds into the same directory, and locks it. The kernel releases
// the lock when the process dies.
func lock(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return func() {}, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // nothing could interrupt a call that waits
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return func() {}, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return func() { f.Close() }, err
}
