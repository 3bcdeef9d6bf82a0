package sys

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// poller records whether the runtime has opened its poller.
var poller struct {
	sync.Mutex
	started atomic.Bool
}

// StartPoller makes the runtime open its poller. A timer or a file that is the first to
// need it makes the runtime end the process where no number is free. So StartPoller opens
// as many first, and returns the error of that: EMFILE, ENFILE. If another goroutine takes
// the last numbers just after they are closed, the process ends all the same.
func StartPoller() error {
	if poller.started.Load() {
		return nil
	}
	poller.Lock()
	defer poller.Unlock()
	if poller.started.Load() {
		return nil
	}
	if err := reserve(3); err != nil { // a kqueue and a pipe; on Linux it is one less
		return err
	}
	// A timer that calls a function starts it, and no error is lost on the way.
	time.AfterFunc(time.Hour, func() {}).Stop()
	poller.started.Store(true)
	return nil
}

// Sleep waits for what cannot be polled for: for a time, or until ctx is done, which is
// its error.
func Sleep(ctx context.Context, pause time.Duration) error {
	if err := StartPoller(); err != nil { // for the timer
		return err
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
