package wire

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// send sends the payload, and the descriptors with its first byte.
func (l label) send(sock Socket, payload []byte, fds []int, unpadded bool) error {
	for {
		m := scm.Message{Buffers: buffers(payload), FDs: fds, Unpadded: unpadded}
		if err := again(func() error { return sock.Send(&m, sys.NoSignal) }); err != nil {
			return l.named(err)
		}
		if payload = payload[m.N:]; len(payload) == 0 {
			return nil
		}
		fds = nil
	}
}

// recv makes a single receive into m. It rejects a truncated message, because the format may require the
// missing part. On error, recv closes the descriptors.
func (l label) recv(sock Socket, m *scm.Message) error {
	if err := again(func() error { return sock.Recv(m, 0) }); err != nil {
		return l.named(err)
	}
	fds := m.FDs[:m.NFD]
	switch {
	case m.Flags&sys.ControlTruncated != 0 && !isEnd(sock, m):
		if m.NFD < len(m.FDs) {
			return l.refuse(fds, "descriptors were lost: the descriptor table of this process is full, or credentials (SO_PASSCRED) used up the space for them")
		}
		return l.refuse(fds, "control data truncated: the message carried more than %s, or it also carried credentials (is SO_PASSCRED set?)", plural(len(m.FDs), "descriptor"))
	case m.Flags&sys.MsgTrunc != 0 && l.network == "unix":
		return l.refuse(fds, "message truncated: the format needs a stream socket")
	}
	return nil
}

// isEnd reports whether a receive into a buffer of at least one byte reached the end of a stream. With
// SO_PASSCRED, Linux sets MSG_CTRUNC at the end, although no process sent credentials.
func isEnd(sock Socket, m *scm.Message) bool {
	if m.N > 0 || m.NFD > 0 {
		return false
	}
	network := ""
	switch sock := sock.(type) {
	case FD:
		network, _ = sys.Network(int(sock)) // "" on error
	case interface{ LocalAddr() net.Addr }: // a Conn
		if a := sock.LocalAddr(); a != nil {
			network = a.Network()
		}
	}
	return network == "unix"
}

// recvText makes a single receive of at most len(p) bytes and at most room descriptors. It returns the
// number of bytes and the descriptors received.
func (l label) recvText(sock Socket, p []byte, room int) (n int, fds []int, err error) {
	m := scm.Message{Buffers: buffers(p), FDs: make([]int, room)}
	if err := l.recv(sock, &m); err != nil {
		return 0, nil, err
	}
	if m.N == 0 && m.NFD == 0 {
		return 0, nil, io.EOF
	}
	return m.N, m.FDs[:m.NFD], nil
}

// recvFull fills p from a stream and receives at most room descriptors along with it.
func (l label) recvFull(sock Socket, p []byte, room int) (fds []int, err error) {
	for done := 0; done < len(p); {
		n, more, err := l.recvText(sock, p[done:], room-len(fds))
		if err != nil {
			scm.CloseFDs(fds...)
			return nil, l.insideOf(done, err)
		}
		done += n
		fds = append(fds, more...)
	}
	return fds, nil
}

// insideOf returns the error for a receive that failed with err when done bytes of a message had been
// received.
func (l label) insideOf(done int, err error) error {
	if done > 0 && err == io.EOF {
		return l.named(io.ErrUnexpectedEOF)
	}
	return err
}

// one returns the results of Recv for a format that requires exactly one descriptor.
func (l label) one(text string, fds []int) (string, []int, error) {
	if len(fds) != 1 {
		return "", nil, l.refuse(fds, "received %s, want 1", plural(len(fds), "descriptor"))
	}
	return text, fds, nil
}

// buffers returns the buffers of a message with payload p. An empty p has none.
func buffers(p []byte) [][]byte {
	if len(p) == 0 {
		return nil
	}
	return [][]byte{p}
}

// again makes a call and retries it whenever a signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
