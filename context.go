package scm

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// WithContext returns c with ctx, as the same connection. When ctx is done, its Read, Write and the methods of this
// package that wait return an error that wraps ctx.Err() and [context.Cause]. If ctx is already done, they send and
// receive nothing. A call that has received something returns it. The other methods of [net.UnixConn] do not use
// ctx. Set deadlines only on a Conn: when a context ends a call, the program's deadline on the net.UnixConn is lost,
// and calls on it can end too (docs/howto.md).
func (c *Conn) WithContext(ctx context.Context) *Conn {
	if c == nil {
		return nil
	}
	return &Conn{
		UnixConn: c.UnixConn, raw: c.raw, network: c.network, config: c.config, file: c.file, local: c.local,
		base: c.base, first: c.first, ctx: ctx,
	}
}

// SetDeadline sets the deadline of package net. A Conn and all that NewConn and WithContext made from it share the
// deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return cmp.Or(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is like [Conn.SetDeadline], for calls that receive.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(false, t) }

// SetWriteDeadline is like [Conn.SetDeadline], for calls that send.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(true, t) }

func (c *Conn) setDeadline(sends bool, t time.Time) error {
	if err := c.usable(); err != nil {
		return c.fail("set", err)
	}
	return c.direction(sends).set(t)
}

// Read reads as package net does. It loses descriptors that were sent with the bytes.
func (c *Conn) Read(p []byte) (n int, err error) { return c.pass("read", (*net.UnixConn).Read, p) }

// Write writes as package net does.
func (c *Conn) Write(p []byte) (n int, err error) { return c.pass("write", (*net.UnixConn).Write, p) }

func (c *Conn) pass(op string, method func(*net.UnixConn, []byte) (int, error), p []byte) (n int, err error) {
	if err = c.usable(); err == nil {
		err = c.direction(op == "write").run(c.ctx, func() error {
			n, err = method(c.UnixConn, p)
			return err
		})
	}
	return n, c.fail(op, err)
}

// SyscallConn works as in package net. If c has a context, Read and Write of the result end when the context is done,
// as does [io.Copy] with an [os.File] while waiting for the Conn. Without one, they can return [os.ErrDeadlineExceeded]
// when a context ends another call on the connection.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if err := checkPresent("Conn", c); err != nil {
		return nil, c.fail("get", err)
	}
	raw, err := c.UnixConn.SyscallConn()
	if err != nil || c.first == nil || c.ctx == nil || c.ctx.Done() == nil {
		return raw, err
	}
	return contextRawConn{raw, c}, nil
}

// A contextRawConn has no PollFD method. So package os does not find the socket for splice(2) or sendfile(2), which
// would wait without the context.
type contextRawConn struct {
	syscall.RawConn
	c *Conn
}

func (r contextRawConn) Read(f func(fd uintptr) bool) error {
	return r.c.fail("raw-read", r.c.direction(false).run(r.c.ctx, func() error { return r.RawConn.Read(f) }))
}

func (r contextRawConn) Write(f func(fd uintptr) bool) error {
	return r.c.fail("raw-write", r.c.direction(true).run(r.c.ctx, func() error { return r.RawConn.Write(f) }))
}

func (c *Conn) direction(sends bool) *direction {
	if sends {
		return &c.first.writes
	}
	return &c.first.reads
}

// WithContext returns l with ctx, which ends Accept and AcceptConn as [Conn.WithContext] describes. The Conns that they
// return have no context.
func (l *Listener) WithContext(ctx context.Context) *Listener {
	if l == nil {
		return nil
	}
	return &Listener{l.UnixListener, l.addr, l.config, l.file, l.accepts, l.base, ctx}
}

// SetDeadline is like [Conn.SetDeadline], for calls that accept.
func (l *Listener) SetDeadline(t time.Time) error {
	if err := l.usable(); err != nil {
		return opError("set", err)
	}
	return l.fail("set", l.accepts.set(t))
}

// A direction makes the calls that wait on a socket to receive, to send or to accept. All Conns, or Listeners, that
// were made from one share it.
type direction struct {
	socket interface{ SetDeadline(time.Time) error }

	mu      sync.Mutex
	program time.Time // the deadline that the program has set, which package net cannot return

	// One call at a time waits in package net, so that its context ends no other.
	busy    atomic.Bool
	waiters atomic.Int32
	once    sync.Once
	free    chan struct{} // has a value if a waiter must look whether busy is false
}

// readSide and writeSide are a connection as the socket of a direction.
type readSide struct{ *net.UnixConn }
type writeSide struct{ *net.UnixConn }

func (s readSide) SetDeadline(t time.Time) error  { return s.SetReadDeadline(t) }
func (s writeSide) SetDeadline(t time.Time) error { return s.SetWriteDeadline(t) }

// set sets the program's deadline.
func (d *direction) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.program = t
	return d.socket.SetDeadline(t)
}

// run makes a call that waits on the socket, and ends it when ctx is done.
func (d *direction) run(ctx context.Context, call func() error) error {
	if !d.busy.CompareAndSwap(false, true) && !d.wait(ctx) {
		return contextErr(ctx)
	}
	defer d.unlock()
	if ctx.Done() == nil {
		return call()
	}
	if err := contextErr(ctx); err != nil {
		return err
	}
	defer d.endWith(ctx)()
	err := call()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = cmp.Or(contextErr(ctx), err)
	}
	return err
}

// endWith ends the call that is made next when ctx is done. The caller must call restore after it.
func (d *direction) endWith(ctx context.Context) (restore func()) {
	returned, restored := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(restored)
		for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
			_ = d.socket.SetDeadline(time.Unix(1, 0)) // again, because the program can set another before the call wakes up
			select {
			case <-returned:
				d.mu.Lock()
				defer d.mu.Unlock()
				_ = d.socket.SetDeadline(d.program)
				return
			case <-time.After(pause):
			}
		}
	})
	return func() {
		if !stop() {
			close(returned)
			<-restored
		}
	}
}

// wait waits until no other call runs. It returns false if ctx is done first.
func (d *direction) wait(ctx context.Context) bool {
	d.once.Do(func() { d.free = make(chan struct{}, 1) })
	d.waiters.Add(1)
	defer d.waiters.Add(-1)
	for !d.busy.CompareAndSwap(false, true) {
		select {
		case <-d.free:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (d *direction) unlock() {
	d.busy.Store(false)
	if d.waiters.Load() == 0 {
		return
	}
	select {
	case d.free <- struct{}{}:
	default:
	}
}

// contextErr returns a *contextError if ctx is done.
func contextErr(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &contextError{ctx.Err(), cmp.Or(context.Cause(ctx), ctx.Err())} // before Go 1.25, Cause can return nil
}

// A contextError is the error of a call that a context ended. It hides a cause that callers of a Conn would compare
// with ==, io.EOF.
type contextError struct{ err, cause error }

func (e *contextError) Error() string   { return e.cause.Error() }
func (e *contextError) Unwrap() []error { return []error{e.err, e.cause} }

// Timeout implements net.Error. net.OpError calls it.
func (e *contextError) Timeout() bool { return e.err == context.DeadlineExceeded }
