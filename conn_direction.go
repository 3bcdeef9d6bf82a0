package scm

import (
	"container/list"
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// A direction is one of a Conn's two: the calls that receive, or those that
// send. The calls take turns, and only the one whose turn it is uses the poller.
// So its context can end it by the poller's deadline, which no other call uses then.
type direction struct {
	turn    atomic.Int32 // noTurn, oneTurn or queued
	queueMu sync.Mutex
	queue   list.List // of chan struct{}: the calls that wait for their turn, in order

	poll func(try func(sock uintptr) bool) error // waits until try returns true
	set  func(deadline time.Time) error

	mu       sync.Mutex // the poller has the earliest of these:
	deadline time.Time  // the caller's
	pause    time.Time  // when the call whose turn it is tries again; it alone changes it
	ended    bool       // its context is done
	shut     bool       // our own shutdown ends the next pause
}

// What turn is. It becomes queued, and anything else again, under queueMu.
const (
	noTurn  = iota
	oneTurn // a call has the turn
	queued  // a call has the turn, and queue is not empty
)

// retryPause is after how long a call that waits to send tries again. The poller
// sees no shutdown of sending: the other end's CloseRead, say.
const retryPause = time.Second

func (d *direction) init(poll func(func(uintptr) bool) error, set func(time.Time) error) {
	d.poll, d.set = poll, set
}

// begin waits for the turn until ctx is done, or not at all.
func (d *direction) begin(ctx context.Context, wait bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.turn.CompareAndSwap(noTurn, oneTurn) {
		return nil
	}
	if !wait {
		return sys.EAGAIN
	}
	return d.beginQueued(ctx)
}

func (d *direction) beginQueued(ctx context.Context) error {
	given := make(chan struct{}, 1)
	d.queueMu.Lock()
	for !d.turn.CompareAndSwap(oneTurn, queued) && d.turn.Load() != queued {
		if d.turn.CompareAndSwap(noTurn, oneTurn) {
			d.queueMu.Unlock()
			return nil
		}
	}
	place := d.queue.PushBack(given)
	d.queueMu.Unlock()

	select {
	case <-given:
		return nil
	case <-ctx.Done():
	}
	d.queueMu.Lock()
	select {
	case <-given:
		d.queueMu.Unlock()
		d.end()
	default:
		d.leave(place)
		d.queueMu.Unlock()
	}
	return ctx.Err()
}

// end gives the turn to the call that has waited longest.
func (d *direction) end() {
	if !d.pause.IsZero() { // after a panic
		d.endPause()
	}
	if d.turn.CompareAndSwap(oneTurn, noTurn) {
		return
	}
	d.queueMu.Lock()
	defer d.queueMu.Unlock()
	first := d.queue.Front()
	if first == nil { // those that waited have left
		d.turn.Store(noTurn)
		return
	}
	d.leave(first) <- struct{}{}
}

// leave takes a call out of the queue.
func (d *direction) leave(place *list.Element) chan struct{} {
	given := d.queue.Remove(place).(chan struct{})
	if d.queue.Len() == 0 {
		d.turn.Store(oneTurn)
	}
	return given
}

// until runs f, the call whose turn it is, and ends what waits in it once ctx is
// done.
func (d *direction) until(ctx context.Context, f func() error) (err error) {
	called := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = d.change(func() { d.ended = true })
		close(called)
	})
	defer func() { // also of a panic
		if stop() {
			return
		}
		<-called
		_ = d.change(func() { d.ended = false })
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = ctx.Err()
		}
	}()
	return f()
}

// wait is poll, which it begins again when a pause of tryLater is over.
func (d *direction) wait(try func(sock uintptr) bool) error {
	for {
		err := d.poll(try)
		if d.pause.IsZero() {
			return err
		}
		d.endPause()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// tryLater has wait try again though the poller has no sign.
func (d *direction) tryLater() {
	if d.pause.IsZero() {
		d.beginPause(retryPause)
	}
}

// wake ends the pause of the call that waits, or the next one: the call then sees the
// shutdown.
func (d *direction) wake() { _ = d.change(func() { d.shut = true }) }

func (d *direction) beginPause(pause time.Duration) {
	_ = d.change(func() { d.pause = time.Now().Add(pause) })
}

// endPause is called before the next try, which sees a shutdown that wake was called for.
func (d *direction) endPause() {
	_ = d.change(func() { d.pause, d.shut = time.Time{}, false })
}

// sleep waits for what the poller has no sign of. Whether it was the caller's
// deadline that ended it is reported by the next use of the poller.
func (d *direction) sleep(pause time.Duration) error {
	d.beginPause(pause)
	err := d.poll(never)
	d.endPause()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func never(uintptr) bool { return false }

func (d *direction) setDeadline(t time.Time) error {
	return d.change(func() { d.deadline = t })
}

// change changes what there is to wait for, and informs the poller.
func (d *direction) change(what func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
	switch {
	case d.ended, d.shut && !d.pause.IsZero():
		return d.set(time.Unix(1, 0))
	case !d.pause.IsZero() && (d.deadline.IsZero() || d.pause.Before(d.deadline)):
		return d.set(d.pause)
	}
	return d.set(d.deadline)
}
