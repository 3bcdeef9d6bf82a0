package wire

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// send sends the payload and the descriptors, which go with its first byte.
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

// recv receives into m what one call gives. A truncated message is an error: what the format
// asks for may be in the part that is missing. On error recv closes the descriptors.
func (l label) recv(sock Socket, m *scm.Message) error {
	if err := again(func() error { return sock.Recv(m, 0) }); err != nil {
		return l.named(err)
	}
	fds := m.FDs[:m.NFD]
	switch {
	case m.Flags&sys.ControlTruncated != 0 && !isEnd(sock, m):
		if m.NFD < len(m.FDs) {
			return l.refuse(fds, "descriptors are missing: this process's descriptor table is full, or credentials took their space (SO_PASSCRED)")
		}
		return l.refuse(fds, "control data was truncated: there were more than %d descriptors, or credentials (SO_PASSCRED)", len(m.FDs))
	case m.Flags&sys.MsgTrunc != 0 && l.network == "unix":
		return l.refuse(fds, "the end of a message was lost: the format needs a stream socket")
	}
	return nil
}

// isEnd reports whether a receive with room for a byte met the end of a stream. With
// SO_PASSCRED Linux sets MSG_CTRUNC there, for credentials of nobody.
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

// recvText receives what one call gives, at most len(p) bytes and room
// descriptors, and returns how many bytes it received.
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

// recvFull fills p from a stream, with room for so many descriptors.
func (l label) recvFull(sock Socket, p []byte, room int) (fds []int, err error) {
	for done := 0; done < len(p); {
		n, more, err := l.recvText(sock, p[done:], room-len(fds))
		if err != nil {
			closeAll(fds)
			return nil, l.insideOf(done, err)
		}
		done += n
		fds = append(fds, more...)
	}
	return fds, nil
}

// insideOf is an error after so many bytes of a message.
func (l label) insideOf(done int, err error) error {
	if done > 0 && err == io.EOF {
		return l.named(io.ErrUnexpectedEOF)
	}
	return err
}

// one is the end of a receive that must have brought one descriptor.
func (l label) one(text string, fds []int) (string, []int, error) {
	if len(fds) != 1 {
		return "", nil, l.refuse(fds, "%d descriptors came, not 1", len(fds))
	}
	return text, fds, nil
}

// buffers is the payload as a message has it: an empty one has no buffer.
func buffers(p []byte) [][]byte {
	if len(p) == 0 {
		return nil
	}
	return [][]byte{p}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		sys.Close(fd)
	}
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
