package scm

import (
	"math"
	"net"
	"os"

	"github.com/scm-rights/scm/internal/msg"

	"github.com/scm-rights/scm/internal/sys"
)

// Message is one whole message, to send or received. The zero value of a field
// asks for nothing.
type Message struct {
	// Buffers hold the payload, one behind the other. At most MaxBuffers.
	Buffers [][]byte

	// FDs are the descriptors to send; for a receive, len(FDs) is the room. At most MaxFDs.
	FDs []int

	// Addr is the destination of an unconnected datagram: a path or, on Linux, an abstract name,
	// as for [Dial]. In a receive, one that is not nil gets the name of the sender, "" if it has
	// none or is no Unix socket. A received path is what the sender called itself: see
	// [ListenPacket] before you answer.
	Addr *net.UnixAddr

	// Cred is attached to what is sent; the kernel checks it: EPERM, ESRCH or EINVAL where it
	// is not the sender's. In a receive, one that is not nil gets the sender's, if the socket
	// has SO_PASSCRED; without any, its PID is 0 and the others -1. PID is 0 for a sender
	// outside of this process's PID namespace. For what was sent before SO_PASSCRED was set
	// Linux can report user 65534, and for the end of a stream root: look at N first.
	Cred *Cred

	// PIDFD, if not nil, gets a descriptor of the sender's process in a receive, if the
	// socket has SO_PASSPIDFD (Linux 6.5), else -1. It is the caller's to close. Where
	// descriptors took its room it is -1, and MSG_CTRUNC is set. The process may have ended:
	// see [PeerPIDFD]. If PIDFD points to an element of FDs, or is the PIDFD of two messages
	// in a batch, only one descriptor fits: the receive then closes the pidfd and sets
	// MSG_CTRUNC.
	PIDFD *int

	// Unpadded sends msg_controllen as CMSG_LEN and not as CMSG_SPACE, as some programs do.
	Unpadded bool

	// N is the number of payload bytes sent or received, 0 after an error. With the flag
	// MSG_TRUNC, a receive of a packet sets it to the length of the whole message.
	N int

	// NFD is the number of descriptors received, which are FDs[:NFD].
	NFD int

	// Flags are the kernel's flags of a received message: MSG_CTRUNC, MSG_TRUNC, MSG_EOR, …
	// without MSG_CMSG_CLOEXEC.
	Flags int

	asked bool // a receive has set *PIDFD; before, it is any number
}

// Truncated reports whether the kernel truncated the control data of a received message
// (MSG_CTRUNC), so that descriptors can be missing. A message longer than the buffers is
// MSG_TRUNC in Flags instead.
func (m *Message) Truncated() bool { return m.Flags&sys.ControlTruncated != 0 }

// Files makes files of the received descriptors FDs[:NFD], as [NewFile] does, and takes the
// descriptors over: it sets NFD to 0, and the caller closes the files. On error Files closes all
// of them. PIDFD stays the caller's.
func (m *Message) Files() ([]*os.File, error) {
	fds := m.FDs[:m.NFD]
	m.NFD = 0
	var files []*os.File
	for i, fd := range fds {
		f, err := newFile(fd, "received")
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			sys.CloseAll(fds[i:])
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// CloseFDs closes the descriptors that m has received, PIDFD's too, and forgets them.
func (m *Message) CloseFDs() {
	if m.PIDFD != nil && m.asked && *m.PIDFD >= 0 {
		sys.Close(*m.PIDFD)
		*m.PIDFD = -1 // before FDs, of which it may be an element, so that nothing is closed twice
	}
	sys.CloseAll(m.FDs[:m.NFD])
	m.NFD = 0
}

// Cred is what SCM_CREDENTIALS and SO_PEERCRED report of a process.
type Cred struct {
	PID, UID, GID int
}

// Send sends m.Buffers and m.FDs through the socket sock as one message, with one sendmsg(2) and
// the given flags, and sets m.N to the number of bytes sent. On a stream that can be less than
// all; the descriptors have then gone with the first byte, and must not be sent again.
//
// On a stream, pass at least one byte: with an empty payload Linux sends nothing, loses the
// descriptors and reports success. Datagram and seqpacket sockets deliver an empty message. A socket
// that is not AF_UNIX sends the bytes and drops the descriptors. Add MSG_NOSIGNAL in programs in
// which SIGPIPE kills. With cgo, more than 64 buffers need about 40 KiB of C stack: see [SendBatch].
//
// Errors are ErrTooManyFDs, ErrTooManyBuffers, or wrap the errno: EBADF, EPIPE, EAGAIN, EINTR,
// EMSGSIZE, ETOOMANYREFS, EINVAL for an address that is too long, …; then nothing was sent.
func Send(sock int, m *Message, flags int) error {
	m.N = 0
	if err := checkLimits(m); err != nil {
		return err
	}
	var err error
	if m.Addr == nil && m.Cred == nil {
		out := msg.Message{Buffers: m.Buffers, FDs: m.FDs, Unpadded: m.Unpadded}
		err = sendMsg(number(sock), &out, flags)
		m.N = out.N
	} else {
		m.N, err = sendParts(number(sock), m, flags)
	}
	return os.NewSyscallError("sendmsg", err)
}

// sendParts is apart from Send, which spares most messages the room for an address.
//
//go:noinline
func sendParts(sock int32, m *Message, flags int) (n int, err error) {
	var p parts
	out := msg.Message{Buffers: m.Buffers, FDs: m.FDs, Unpadded: m.Unpadded}
	if out.Name, out.Cred, err = p.outgoing(m); err != nil {
		return 0, err
	}
	err = sendMsg(sock, &out, flags)
	return out.N, err
}

// Recv receives one message, or bytes of a stream, from the socket sock into m.Buffers and m.FDs,
// with one recvmsg(2) and the given flags, to which MSG_CMSG_CLOEXEC is added. m.FDs[:m.NFD] are
// the caller's to close. The end of a stream is m.N == 0 with no descriptors.
//
// The kernel or Recv closes descriptors that do not fit into m.FDs and sets MSG_CTRUNC in m.Flags;
// that is no error. MSG_CTRUNC is also set when the process has reached its descriptor limit
// (EMFILE), or a security module refused a descriptor. With SO_PASSCRED, SO_PASSPIDFD or SO_TIMESTAMP,
// control data that the caller does not ask for takes room from the descriptors; with SO_INQ, Linux
// sets MSG_CTRUNC though no descriptor is missing.
//
// If a datagram or seqpacket message is longer than m.Buffers, the rest of it is lost and MSG_TRUNC
// is set in m.Flags; that is no error either.
//
// Errors are ErrTooManyFDs, ErrTooManyBuffers, or wrap the errno: EAGAIN, EINTR, ENOTCONN, …; then
// nothing was received.
func Recv(sock int, m *Message, flags int) error {
	m.nothing()
	if err := checkLimits(m); err != nil {
		return err
	}
	if m.hasParts() {
		return os.NewSyscallError("recvmsg", recvParts(number(sock), m, flags))
	}
	in := msg.Message{Buffers: m.Buffers, FDs: m.FDs}
	if err := recvOne(number(sock), &in, flags); err != nil {
		return os.NewSyscallError("recvmsg", err)
	}
	m.N, m.NFD, m.Flags = in.N, in.NFD, in.Flags
	return nil
}

// recvParts is to Recv as sendParts is to Send.
//
//go:noinline
func recvParts(sock int32, m *Message, flags int) error {
	var p parts
	in := msg.Message{Buffers: m.Buffers, FDs: m.FDs}
	in.Name, in.Cred, in.PIDFD = p.incoming(m)
	if err := recvOne(sock, &in, flags); err != nil {
		return err
	}
	m.N, m.NFD, m.Flags = in.N, in.NFD, in.Flags
	p.received(m, &in)
	return nil
}

// hasParts reports whether a receive into m takes more than buffers and descriptors.
func (m *Message) hasParts() bool { return m.Addr != nil || m.Cred != nil || m.PIDFD != nil }

// nothing makes m say that nothing was received.
func (m *Message) nothing() {
	m.N, m.NFD, m.Flags = 0, 0, 0
	if m.Addr != nil {
		m.Addr.Name = ""
	}
	if m.Cred != nil {
		*m.Cred = Cred{0, -1, -1}
	}
	if m.PIDFD != nil {
		*m.PIDFD, m.asked = -1, true
	}
}

// parts are what a message in the form of the backends points to. They and the
// message itself are apart, so that both can stay on the stack.
type parts struct {
	name  [msg.NameBytes]byte
	cred  msg.Cred
	pidfd int // m.PIDFD's, until all descriptors of the call are in their places
}

// outgoing are the address and the credentials of m, to be sent.
func (p *parts) outgoing(m *Message) (name []byte, cred *msg.Cred, err error) {
	if m.Addr != nil {
		n, err := sys.PutAddr(&p.name, m.Addr.Name)
		if err != nil {
			return nil, nil, err
		}
		name = p.name[:n]
	}
	if m.Cred != nil {
		p.cred = msg.Cred{PID: number(m.Cred.PID), UID: owner(m.Cred.UID), GID: owner(m.Cred.GID)}
		cred = &p.cred
	}
	return name, cred, nil
}

// incoming returns where a backend stores the address, the credentials and the pidfd for m.
func (p *parts) incoming(m *Message) (name []byte, cred *msg.Cred, pidfd *int) {
	if m.Addr != nil {
		name = p.name[:]
	}
	if m.Cred != nil {
		cred = &p.cred
	}
	if m.PIDFD != nil {
		p.pidfd = -1
		pidfd = &p.pidfd
	}
	return name, cred, pidfd
}

// received puts the address, the credentials and the pidfd that were received into m. The
// descriptors of all messages of the call are in their FDs by then.
func (p *parts) received(m *Message, in *msg.Message) {
	if m.Addr != nil {
		m.Addr.Name = sys.AddrName(p.name[:min(in.NameLen, len(p.name))])
	}
	if m.Cred != nil && p.cred.Received() {
		*m.Cred = Cred{PID: int(p.cred.PID), UID: int(p.cred.UID), GID: int(p.cred.GID)}
	}
	if m.PIDFD == nil || p.pidfd < 0 {
		return
	}
	if *m.PIDFD >= 0 { // another descriptor of the call, which would be lost
		sys.Close(p.pidfd)
		m.Flags |= sys.ControlTruncated
		return
	}
	*m.PIDFD = p.pidfd
}

// owner is a user or a group as the kernel has it. What does not fit is nobody's, and
// the kernel refuses it (EINVAL); it must not become root's by losing its upper half.
// Where an int has 32 bits, the upper half of the users and groups is negative.
func owner(id int) uint32 {
	if u := uint32(id); int(u) == id {
		return u
	}
	return math.MaxUint32
}

func checkLimits(m *Message) error {
	if len(m.FDs) > MaxFDs {
		return ErrTooManyFDs
	}
	if len(m.Buffers) > MaxBuffers {
		return ErrTooManyBuffers
	}
	return nil
}
