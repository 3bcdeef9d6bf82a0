package relay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// MaxFDs is the kernel's limit for the descriptors of one message (SCM_MAX_FD).
const MaxFDs = 253

// pieceSize is the number of bytes that a pump receives at most at once from a stream.
const pieceSize = 256 << 10

var credSpace = unix.CmsgSpace(unix.SizeofUcred)

// A pump passes messages on in one direction of a connection.
type pump struct {
	from, to syscall.RawConn
	stream   bool
	client   int
	change   func(*Message)
	data     []byte
	peeked   [][]byte // the first part of data, again and again, because it stays in the cache
	control  []byte
	peer     *unix.Ucred // who has created the connection, or listens for it
	identity identity
}

// An identity is what a pump can tell the receiver about a sender. The kernel decides, so a pump tries one after the
// other.
type identity int

const (
	exact  identity = iota // the sender's credentials, which needs privileges unless the sender is the relay itself
	ownPID                 // the sender's user and group, and the process ID of the relay
	own                    // nothing: the kernel adds the credentials of the relay
)

func newPump(from, to syscall.Conn, socketType int) (*pump, error) {
	p := &pump{
		stream:  socketType == unix.SOCK_STREAM,
		data:    make([]byte, pieceSize),
		control: make([]byte, credSpace+unix.CmsgSpace(4*MaxFDs)),
	}
	p.peeked = slices.Repeat([][]byte{p.data[:pieceSize/16]}, 16)
	var err error
	if p.from, err = from.SyscallConn(); err == nil {
		p.to, err = to.SyscallConn()
	}
	if err == nil {
		err = control(from, func(fd int) (err error) {
			p.peer, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
			return os.NewSyscallError("getsockopt", err)
		})
	}
	return p, err
}

// run passes messages on until the sender has closed the connection, or until both sides have shut down their output.
func (p *pump) run() error {
	err := p.messages()
	switch {
	case errors.Is(err, io.EOF):
		shutdown(p.to, unix.SHUT_WR)
	case errors.Is(err, unix.EPIPE): // the receiver accepts no more messages
		shutdown(p.from, unix.SHUT_RD)
	default:
		shutdown(p.from, unix.SHUT_RDWR)
		shutdown(p.to, unix.SHUT_RDWR)
		return err
	}
	// When the sender closes the connection, the receiver must notice.
	_ = p.from.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd)}} // reports POLLHUP only
		n, err := unix.Poll(fds, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
	shutdown(p.to, unix.SHUT_RDWR)
	return nil
}

// messages passes messages on until a call fails.
func (p *pump) messages() error {
	for {
		m, err := p.next()
		if err == nil {
			err = p.passOn(m)
		}
		if err != nil {
			return err
		}
	}
}

// next receives a message of a seqpacket socket, or what a stream socket has received, up to the first message with
// descriptors, or this message.
func (p *pump) next() (*Message, error) {
	peeked, flags := p.peeked, unix.MSG_PEEK
	if !p.stream {
		peeked, flags = nil, unix.MSG_PEEK|unix.MSG_TRUNC // which returns the size of the message
	}
	// There is no space for descriptors, so the kernel only reports whether any are queued, perhaps after these bytes.
	size, hdr, err := p.recv(peeked, p.control[:credSpace], flags)
	switch {
	case err != nil:
		return nil, err
	case size == 0 && (p.stream || hdr.ControlLen == 0): // even an empty message would have credentials
		return nil, io.EOF
	case p.stream && hdr.Flags&unix.MSG_CTRUNC != 0:
		size = p.beforeDescriptors(size)
	case size > len(p.data):
		p.data = make([]byte, size)
	}
	return p.receive(p.data[:size])
}

// beforeDescriptors returns how many of the next size bytes are before the message that contains the last of them, or
// size if it is the first message. The kernel returns nothing of a message if it can write only a part of what was
// asked for, so a peek whose last byte cannot be written ends before this message. A kernel that does not work this way
// returns the descriptors with their byte only if a receive asks for one byte at a time.
func (p *pump) beforeDescriptors(size int) (n int) {
	page := noMemory()
	if page == nil || size == 1 {
		return 1
	}
	_ = p.from.Control(func(fd uintptr) { n, _ = peekBefore(int(fd), p.data[:size-1], page) })
	if n <= 0 {
		return size
	}
	return n
}

// peekBefore peeks at bytes of a stream up to the message that does not fit into data.
func peekBefore(fd int, data, page []byte) (int, error) {
	return raw.NewMessage([][]byte{data, page[:1]}, nil).Recv(fd, unix.MSG_PEEK|unix.MSG_DONTWAIT)
}

// noMemory returns a page that cannot be written. It returns nil if the kernel works differently, and returns the bytes
// of a message that it can write before the page.
var noMemory = sync.OnceValue(func() []byte {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	socks, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer CloseAll(socks[:])
	if _, err := unix.Write(socks[0], []byte("ab")); err != nil {
		return nil
	}
	if _, err := peekBefore(socks[1], make([]byte, 1), page); err != unix.EFAULT {
		return nil
	}
	return page
})

// recv waits until it can receive.
func (p *pump) recv(data [][]byte, control []byte, flags int) (n int, m *raw.Message, err error) {
	waitErr := p.from.Read(func(fd uintptr) bool {
		m = raw.NewMessage(data, control)
		n, err = m.Recv(int(fd), flags|unix.MSG_DONTWAIT)
		// A sender that has closed the connection without receiving all messages resets it, once. Its own are still
		// queued.
		for err == unix.EINTR || err == unix.ECONNRESET {
			n, err = m.Recv(int(fd), flags|unix.MSG_DONTWAIT)
		}
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return 0, nil, waitErr
	}
	return n, m, os.NewSyscallError("recvmsg", err)
}

// receive receives a message, or a part of it. If descriptors were lost, it closes the others, and returns an error.
func (p *pump) receive(data []byte) (*Message, error) {
	n, hdr, err := p.recv([][]byte{data}, p.control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	m := &Message{Client: p.client, Data: data[:n]}
	m.cred, m.FDs = parse(p.control[:hdr.ControlLen])
	if m.cred == nil || m.cred.Pid == 0 { // it was sent before the socket had SO_PASSCRED
		m.cred = p.peer
	}
	if hdr.Flags&unix.MSG_CTRUNC != 0 {
		CloseAll(m.FDs)
		return nil, fmt.Errorf("descriptors were lost after the first %d of a message, probably because the descriptor table is full", len(m.FDs))
	}
	return m, nil
}

// parse returns the sender's credentials and the descriptors in received control data.
func parse(control []byte) (cred *unix.Ucred, fds []int) {
	for _, c := range raw.Parse(control) {
		switch c.Type {
		case unix.SCM_RIGHTS:
			fds = append(fds, c.Int32s()...)
		case unix.SCM_CREDENTIALS:
			id := c.Int32s()
			cred = &unix.Ucred{Pid: int32(id[0]), Uid: uint32(id[1]), Gid: uint32(id[2])}
		}
	}
	return cred, fds
}

// passOn sends a message to the receiver, and closes the descriptors that were received with it.
func (p *pump) passOn(m *Message) error {
	defer CloseAll(slices.Clone(m.FDs))
	if p.change != nil {
		p.change(m)
	}
	err := p.send(m)
	for err == nil && len(m.Data) > 0 {
		err = p.send(m)
	}
	return err
}

// send waits until it can send, and removes what it has sent from the message.
func (p *pump) send(m *Message) (err error) {
	n, identity := 0, p.identity
	for {
		waitErr := p.to.Write(func(fd uintptr) bool {
			hdr := raw.NewMessage([][]byte{m.Data}, m.control(identity))
			n, err = hdr.Send(int(fd), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			return err != unix.EAGAIN
		})
		switch {
		case waitErr != nil:
			return waitErr
		case err == unix.EINTR:
		case err == unix.ETOOMANYREFS: // too many descriptors are in flight, until the receiver receives some
			time.Sleep(retry)
		case err == unix.EPERM && identity < own:
			identity++
			p.identity = identity
		case err == unix.ESRCH && identity < own: // the sender has ended
			identity++
		case err == unix.EMSGSIZE:
			if err := p.enlarge(len(m.Data)); err != nil {
				return err
			}
		case err == unix.ECONNRESET:
			return unix.EPIPE
		case err != nil:
			return os.NewSyscallError("sendmsg", err)
		default:
			m.Data, m.FDs = m.Data[n:], nil
			return nil
		}
	}
}

// control returns the control data of the message.
func (m *Message) control(identity identity) (control []byte) {
	if identity < own {
		pid := int(m.cred.Pid)
		if identity == ownPID {
			pid = os.Getpid()
		}
		data := raw.Int32s(pid, int(m.cred.Uid), int(m.cred.Gid))
		control = raw.Cmsg{Level: unix.SOL_SOCKET, Type: unix.SCM_CREDENTIALS, Data: data}.Bytes()
	}
	if len(m.FDs) > 0 {
		control = append(control, raw.Rights(m.FDs...)...)
	}
	return control
}

// enlarge makes the buffer large enough for a message of the given size, which fitted into the sender's.
func (p *pump) enlarge(size int) (err error) {
	_ = p.to.Control(func(fd uintptr) {
		const overhead = 32
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size+overhead) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, size+overhead)
		}
		if now, optErr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); optErr != nil || now < size+overhead {
			err = fmt.Errorf("a message of %d bytes is too long for a send buffer of %d bytes", size, now)
		}
	})
	return err
}

func shutdown(c syscall.RawConn, how int) {
	_ = c.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), how) })
}

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
