package sys

import (
	"sync"
	"sync/atomic"
	"time"
)

// poller records whether the runtime has opened its poller.
var poller struct {
	sync.Mutex
	runs atomic.Bool
}

// PollerRuns is called when package net has a socket in the poller.
func PollerRuns() {
	if !poller.runs.Load() {
		poller.runs.Store(true)
	}
}

// StartPoller makes the runtime open its poller, unless fd is one that os.NewFile does not put
// there. A file that is the first to need it makes the runtime end the process where no
// descriptor is free. So StartPoller opens as many first, and returns the error of that:
// EMFILE, ENFILE.
func StartPoller(fd int) error {
	if poller.runs.Load() {
		return nil
	}
	if nonblock, err := Nonblock(fd); err != nil || !nonblock {
		return err
	}
	poller.Lock()
	defer poller.Unlock()
	if poller.runs.Load() {
		return nil
	}
	if err := reserve(3); err != nil { // a kqueue and a pipe; on Linux it is one less
		return err
	}
	// A timer that calls a function starts it, and no error is lost on the way.
	time.AfterFunc(time.Hour, func() {}).Stop()
	poller.runs.Store(true)
	return nil
}
