package scm

import "github.com/scm-rights/scm/internal/sys"

import "context"

// Send sends m with one sendmsg(2), as [Send] does, and waits until it can. For a
// datagram socket that is not connected, m.Addr is the destination. A path in m.Addr is
// looked up in its file system, and neither MSG_DONTWAIT, nor the deadline, nor Close ends
// that: see [ListenPacket].
//
// On a stream m.N can be less than all: the descriptors have then gone with the
// first byte, and must not be sent again with the rest. The descriptors stay open
// and the caller's, and must not be closed during the call.
//
// With MSG_DONTWAIT it does not wait, not for its turn either: the error is EAGAIN.
//
// Errors are those of [Send], ErrEmptyPayload, and those of [Conn].
func (c *Conn) Send(m *Message, flags int) error {
	m.N = 0
	err := c.usable()
	if err == nil && c.isStream() && len(m.FDs) > 0 && isEmpty(m.Buffers) {
		err = ErrEmptyPayload
	}
	if err == nil {
		k := newCall(c)
		defer k.put()
		k.user, k.flags, k.once = m, flags, (*call).sendMessage
		k.nowait = flags&sys.DontWait != 0
		err = k.inTurn(context.Background(), &c.sending)
	}
	return c.fail("write", err)
}

// Recv receives one message, or bytes of a stream, into m with one recvmsg(2), as
// [Recv] does, and waits until something is there. m.FDs[:m.NFD] are close-on-exec
// and the caller's to close, and so is what m.PIDFD points to. Missing descriptors
// are no error: see m.Flags. At the end of a stream m.N is 0, and m.Cred reports that no
// credentials were received, also where [Recv] reports root's.
//
// On a stream m.Buffers must have room for a byte (ErrEmptyPayload). With
// MSG_DONTWAIT Recv does not wait, not for its turn either: the error is EAGAIN.
//
// Errors are those of [Recv], and those of [Conn]; then nothing was received.
func (c *Conn) Recv(m *Message, flags int) error {
	m.nothing()
	err := c.usable()
	if err == nil && c.isStream() && isEmpty(m.Buffers) {
		err = ErrEmptyPayload
	}
	if err == nil {
		k := newCall(c)
		defer k.put()
		k.user, k.flags, k.once = m, flags, (*call).receiveMessage
		k.nowait = flags&sys.DontWait != 0
		err = k.inTurn(context.Background(), &c.receiving)
		if err == nil && m.N == 0 && m.Cred != nil && c.isStream() {
			*m.Cred = Cred{0, -1, -1} // nobody sent the end, for which Linux reports root
		}
	}
	return c.fail("read", err)
}

func isEmpty(buffers [][]byte) bool {
	for _, p := range buffers {
		if len(p) > 0 {
			return false
		}
	}
	return true
}
