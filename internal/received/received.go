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

// Notify has f called for each descriptor received from now on, on the goroutine that receives
// it and before the call that receives it returns.
func Notify(f func(fd int)) { notify.Store(&f) }

// On reports whether Notify was called. Receives ask it before they pass anything on, because it is inlined.
func On() bool { return notify.Load() != nil }

// FD passes on a descriptor, unless it is negative.
func FD(fd int32) {
	if f := notify.Load(); f != nil && fd >= 0 {
		(*f)(int(fd))
	}
}

// Messages passes on the descriptors of received messages.
func Messages(ms []msg.Message) {
	for i := range ms {
		Message(&ms[i])
	}
}

// Message passes on the descriptors of a received message.
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
