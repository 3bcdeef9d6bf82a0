package scm

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A direction is one of a Conn's two: the calls that receive, or those that
// send. The calls take turns, and only the one whose turn it is uses the poller.
// So its context can end it by the poller's deadline, which is nobody else's then.
type direction struct {
	busy atomic.Bool                             // it is somebody's turn
	free chan struct{}                           // has room for one: the turn may have ended
	poll func(try func(sock uintptr) bool) error // waits until try returns true
	set  func(deadline time.Time) error

	mu       sync.Mutex // the poller has the earliest of these:
	deadline time.Time  // the caller's
	pause    time.Time  // when the call whose turn it is tries again
	ended    bool       // its context is done
}

func (d *direction) init(poll func(func(uintptr) bool) error, set func(time.Time) error) {
	d.free, d.poll, d.set = make(chan struct{}, 1), poll, set
}

// begin waits for the turn until ctx is done, or not at all.
func (d *direction) begin(ctx context.Context, wait bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for !d.busy.CompareAndSwap(false, true) {
		if !wait {
			return errnoAgain
		}
		select {
		case <-d.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// end lets another call begin.
func (d *direction) end() {
	d.busy.Store(false)
	select {
	case d.free <- struct{}{}: // one that waits tries again, or the next one that comes to wait
	default:
	}
}

// until runs f, the call whose turn it is, and ends what waits in it once ctx is
// done.
func (d *direction) until(ctx context.Context, f func() error) error {
	called := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = d.change(func() { d.ended = true })
		close(called)
	})
	err := f()
	if stop() {
		return err
	}
	<-called
	_ = d.change(func() { d.ended = false })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// sleep waits for what the poller has no sign of. Whether it was the caller's
// deadline that ended it is told by the next use of the poller.
func (d *direction) sleep(pause time.Duration) error {
	_ = d.change(func() { d.pause = time.Now().Add(pause) })
	err := d.poll(never)
	_ = d.change(func() { d.pause = time.Time{} })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func never(uintptr) bool { return false }

func (d *direction) setDeadline(t time.Time) error {
	return d.change(func() { d.deadline = t })
}

// change changes what there is to wait for, and tells the poller.
func (d *direction) change(what func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
	switch {
	case d.ended:
		return d.set(time.Unix(1, 0))
	case !d.pause.IsZero() && (d.deadline.IsZero() || d.pause.Before(d.deadline)):
		return d.set(d.pause)
	}
	return d.set(d.deadline)
}
