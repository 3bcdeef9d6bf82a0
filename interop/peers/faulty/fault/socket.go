//go:build linux

package fault

import (
	"errors"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// socket sends and receives with one system call each, except where the fault does it.
type socket struct {
	fd    int
	fault Fault

	// State that the faults keep between calls.
	fds     []int         // received last, or kept
	refused []int         // of the last send, if the socket was full
	rest    peer.Received // read, but not yet returned
}

func (s *socket) Send(m peer.Message) (int, error) {
	if s.fault.message != nil {
		s.fault.message(&m)
	}
	send := (*socket).send
	if s.fault.send != nil {
		send = s.fault.send
	}
	return send(s, m)
}

func (s *socket) Recv(r peer.Room) (got peer.Received, err error) {
	if s.fault.room != nil {
		s.fault.room(&r)
	}
	if s.fault.recv != nil {
		got, err = s.fault.recv(s, r)
	} else {
		got, err = s.recv(r)
	}
	if err == nil && s.fault.spoil != nil {
		s.fault.spoil(&got)
	}
	return got, err
}

// send sends correctly.
func (s *socket) send(m peer.Message) (int, error) {
	return raw.Send(s.fd, m.Buffers, m.FDs, m.Flags)
}

// recv receives correctly, with capacity for exactly the descriptors requested.
func (s *socket) recv(r peer.Room) (peer.Received, error) {
	got, _, err := s.recvAll(r)
	return got, err
}

// recvAll receives correctly and closes pidfds. It also returns all control messages.
func (s *socket) recvAll(r peer.Room) (peer.Received, []raw.Cmsg, error) {
	got, messages, err := s.recvControl(r, raw.NewMessage(r.Buffers, controlFor(r.FDs)))
	for _, m := range messages {
		if m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_PIDFD {
			closeAll(m.Int32s())
		}
	}
	return got, messages, err
}

// controlFor returns a control buffer with capacity for exactly this number of descriptors.
func controlFor(fds int) []byte {
	if fds == 0 {
		return nil
	}
	return make([]byte, unix.CmsgLen(4*fds))
}

// recvControl receives into a message, and returns all control messages.
func (s *socket) recvControl(r peer.Room, m *raw.Message) (got peer.Received, messages []raw.Cmsg, err error) {
	n, err := m.Recv(s.fd, r.Flags|unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return got, nil, err
	}
	got = peer.Received{N: n, Payload: r.Filled(n), HasFlags: true, Flags: m.Flags}
	messages = raw.Parse(m.Control[:m.ControlLen])
	for _, c := range messages {
		if isRights(c) {
			got.FDs = append(got.FDs, c.Int32s()...)
		}
	}
	return got, messages, nil
}

func isRights(c raw.Cmsg) bool { return c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_RIGHTS }

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// strict conforms to the contract, but rejects everything that a library may reject: control
// messages other than SCM_RIGHTS, a connection on which a message was truncated, and more
// buffers than one system call accepts.
type strict struct {
	socket
	over bool // the connection is given up
}

// mostBuffers is UIO_MAXIOV.
const mostBuffers = 1024

var (
	errTruncated = errors.New("a message was truncated")
	errControl   = errors.New("a control message other than SCM_RIGHTS")
)

func (s *strict) Send(m peer.Message) (int, error) {
	if s.over {
		return 0, peer.ErrUnsupported
	}
	m.Buffers = m.Buffers[:min(len(m.Buffers), mostBuffers)]
	return s.send(m)
}

func (s *strict) Recv(r peer.Room) (peer.Received, error) {
	if s.over {
		return peer.Received{}, peer.ErrUnsupported
	}
	got, messages, err := s.recvAll(r)
	if err != nil {
		return got, err
	}
	s.over = got.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0
	switch {
	case s.over:
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // the other end may be gone
		err = errTruncated
	case slices.ContainsFunc(messages, func(c raw.Cmsg) bool { return !isRights(c) }):
		err = errControl
	}
	if err != nil {
		closeAll(got.FDs)
	}
	return got, err
}

// refusing conforms to the contract, but does not support calls that need one of these words of can=.
type refusing struct {
	socket
	words []string
}

func (s *refusing) refuses(buffers, fds, flags int) bool {
	return buffers > 1 && slices.Contains(s.words, "iov") || fds > 1 && slices.Contains(s.words, "multi") ||
		flags != 0 && slices.Contains(s.words, "flags")
}

func (s *refusing) Send(m peer.Message) (int, error) {
	if s.refuses(len(m.Buffers), len(m.FDs), m.Flags) {
		return 0, peer.ErrUnsupported
	}
	return s.send(m)
}

func (s *refusing) Recv(r peer.Room) (peer.Received, error) {
	if s.refuses(len(r.Buffers), r.FDs, r.Flags) {
		return peer.Received{}, peer.ErrUnsupported
	}
	return s.recv(r)
}

// closing is a strict library that may close its socket when a call fails.
type closing struct {
	strict
	closes func(sock int)
}

func (s *closing) Send(m peer.Message) (int, error) {
	n, err := s.strict.Send(m)
	if err != nil {
		s.closes(s.fd)
	}
	return n, err
}

func (s *closing) Recv(r peer.Room) (peer.Received, error) {
	got, err := s.strict.Recv(r)
	if err != nil {
		s.closes(s.fd)
	}
	return got, err
}
