// Package received passes each descriptor that package scm receives to package fdleak, which
// reports the call that received a descriptor that a test has left open.
//
// Nothing is passed unless [Notify] was called.
package received

import (
	"sync/atomic"

	"github.com/scm-rights/scm/internal/msg"
)

var notify atomic.Pointer[func(fd int)]

// Notify registers f, which is called for each descriptor received from now on. The call is made on the
// goroutine that receives the descriptor, before the receive returns.
func Notify(f func(fd int)) { notify.Store(&f) }

// On reports whether Notify was called. Receives call it first because the compiler inlines it.
func On() bool { return notify.Load() != nil }

// FD passes a descriptor to the registered function, unless it is negative.
func FD(fd int32) {
	if f := notify.Load(); f != nil && fd >= 0 {
		(*f)(int(fd))
	}
}

// Message passes the descriptors of a received message to the registered function.
func Message(m *msg.Message) {
	if m.NFD > 0 || m.PIDFD != nil {
		if f := notify.Load(); f != nil {
			message(m, *f)
		}
	}
}

func message(m *msg.Message, f func(fd int)) {
	for _, fd := range m.FDs[:m.NFD] {
		f(fd)
	}
	if m.PIDFD != nil && *m.PIDFD >= 0 {
		f(*m.PIDFD)
	}
}
