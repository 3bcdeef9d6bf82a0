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

// PollerRuns records that the poller is open. It is called when package net has a socket in it.
func PollerRuns() {
	if !poller.runs.Load() {
		poller.runs.Store(true)
	}
}

// StartPoller makes the runtime open its poller, unless os.NewFile would not put fd there. If the
// descriptor table is full when the first file needs the poller, the runtime aborts the process. To
// avoid that, StartPoller first opens as many descriptors as the poller needs and closes them again,
// and returns the error if that fails (EMFILE, ENFILE).
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
	if err := reserve(3); err != nil { // for a kqueue and a pipe; Linux needs one less
		return err
	}
	// A timer with a function starts the poller, without an error that could get lost.
	time.AfterFunc(time.Hour, func() {}).Stop()
	poller.runs.Store(true)
	return nil
}
