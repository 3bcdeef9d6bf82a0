package scm

import (
	"math"
	"net"
	"os"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// Message is a message to send, or one that was received. The zero value of a field requests nothing.
type Message struct {
	// Buffers hold the payload, in order. There can be at most MaxBuffers.
	Buffers [][]byte

	// FDs are the descriptors to send. In a receive, len(FDs) is the capacity: the call receives at
	// most that many descriptors. There can be at most MaxFDs.
	FDs []int

	// Addr is the destination of an unconnected datagram: a path or, on Linux, an abstract name, in the
	// form that [Dial] takes. A receive sets the Name of a non-nil Addr to the sender's name, or to ""
	// if the sender has none or is not a Unix socket. The sender chooses its path itself: see
	// [ListenPacket] before you reply.
	//
	// Do not reply to a path of the form /proc/self/fd/N/NAME or /proc/thread-self/fd/N/NAME. A sender has
	// such a name if its own path is too long for sun_path. The kernel would look up descriptor N in this
	// process, and could find another socket.
	Addr *net.UnixAddr

	// Cred is sent with the message. If it does not identify the sender, the kernel rejects it with
	// EPERM, ESRCH or EINVAL. But a sender with CAP_SYS_ADMIN can name any process, and one with CAP_SETUID
	// or CAP_SETGID any user or group. A receive stores what the sender claims, or else its credentials, in
	// a non-nil Cred if the socket has SO_PASSCRED. If the message has no credentials, PID is 0 and UID and
	// GID are -1. PID is also 0 if the sender is outside this process's PID namespace. For a message sent
	// before SO_PASSCRED was set, Linux can report user 65534. At the end of a stream it reports root, so
	// check N first.
	Cred *Cred

	// If PIDFD is not nil, a receive stores in it a descriptor for the sender's process, or for the one that
	// it names in Cred, if the socket has SO_PASSPIDFD (Linux 6.5), and -1 otherwise. The caller must close
	// the descriptor. If other descriptors took its space in the control buffer, PIDFD is set to -1, and
	// MSG_CTRUNC is set. The process may have ended: see [PeerPIDFD]. Before Linux 6.17, if it has also been
	// waited for, PIDFD is set to -1 and MSG_CTRUNC is set. If PIDFD points to an element of FDs that receives
	// a descriptor, the receive closes the pidfd and sets MSG_CTRUNC.
	PIDFD *int

	// Unpadded makes a send set msg_controllen to CMSG_LEN instead of CMSG_SPACE, as some programs do.
	Unpadded bool

	// N is the number of payload bytes sent or received. After any error except an [*ExpectError] it is 0.
	// After a receive with the MSG_TRUNC flag, N is the length of the whole datagram or seqpacket message.
	N int

	// NFD is the number of descriptors received. They are FDs[:NFD].
	NFD int

	// Flags are the flags that the kernel returned with a received message: MSG_CTRUNC, MSG_TRUNC,
	// MSG_EOR, … MSG_CMSG_CLOEXEC is never among them.
	Flags int

	asked bool // whether a receive has set *PIDFD; before that, its value means nothing
}

// Truncated reports whether the kernel truncated the control data of the received message (MSG_CTRUNC). If
// it did, descriptors may be missing. Truncated does not report a payload that was longer than the buffers.
// Flags has MSG_TRUNC in that case.
func (m *Message) Truncated() bool { return arrival{flags: m.Flags}.lostFDs() }

// Files creates files from the received descriptors FDs[:NFD], as [NewFile] does, and takes ownership of
// the descriptors: it sets NFD to 0, and the caller must close the files. If NewFile returns an error for
// one of them, Files closes all of them and returns that error. The caller still owns *PIDFD.
//
// Files does not check whether the message is complete: see [Message.Truncated].
func (m *Message) Files() ([]*os.File, error) {
	fds := m.FDs[:m.NFD]
	m.NFD = 0
	files, err := makeFiles(fds)
	if err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

// Close closes the received descriptors FDs[:NFD] and *PIDFD, and sets NFD to 0 and *PIDFD to -1. It
// ignores errors. On Linux, it closes consecutive descriptors with close_range(2). Other functions, which
// close the descriptors of messages that they reject, call only close(2), so that a partner cannot cause a
// system call that a seccomp filter may not know.
func (m *Message) Close() {
	if m.PIDFD != nil && m.asked && *m.PIDFD >= 0 {
		sys.Close(*m.PIDFD)
		*m.PIDFD = -1 // before FDs: if it is an element of FDs, it must not be closed twice
	}
	sys.CloseAll(m.FDs[:m.NFD])
	m.NFD = 0
}

// Cred identifies a process, its user and its group, as reported by SCM_CREDENTIALS and SO_PEERCRED.
type Cred struct {
	PID, UID, GID int
}

// Send sends m.Buffers and m.FDs through the socket sock as one message, with a single sendmsg(2) call and
// the given flags. It sets m.N to the number of bytes sent. The descriptors stay open and still belong to
// the caller. On a stream, Send may send only part of the payload. The first byte carries the descriptors,
// so send the rest without them.
//
// On a stream, pass at least one byte: with an empty payload Linux sends nothing, loses the descriptors and
// reports success. Datagram and seqpacket sockets deliver an empty message. If sock is not an AF_UNIX
// socket, the kernel sends the bytes and drops the descriptors. Pass MSG_NOSIGNAL if SIGPIPE would end the
// program.
//
// With cgo, more than 64 buffers need about 40 KiB of C stack. Threads that Go starts have that much, unless
// ulimit -s is lower. The stack of a C thread that calls Go must be that large too.
//
// If Send returns an error, nothing was sent. The error is ErrTooManyFDs, ErrTooManyBuffers, or one that
// wraps the errno: EBADF, EPIPE, EAGAIN, EINTR, EMSGSIZE, ETOOMANYREFS, EINVAL for an address that is too
// long, …
func Send(sock int, m *Message, flags int) error {
	m.N = 0
	if err := checkLimits(m); err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sendMessage(toInt32(sock), m, flags))
}

// sendMessage makes the system call of Send. Its error is a bare errno.
func sendMessage(sock int32, m *Message, flags int) error {
	if m.Addr != nil || m.Cred != nil {
		return sendParts(sock, m, flags)
	}
	out := msg.Message{Buffers: m.Buffers, FDs: m.FDs, Unpadded: m.Unpadded}
	err := sendMsg(sock, &out, flags)
	m.N = out.N
	return err
}

// sendParts is separate from sendMessage, so that most messages do not need zeroed stack space for an
// address. That saves 85 instructions of a pass with Send and Recv, and 0.02 of a pass in C (0.035 with Conn.Send).
//
//go:noinline
func sendParts(sock int32, m *Message, flags int) (err error) {
	var p parts
	out := msg.Message{Buffers: m.Buffers, FDs: m.FDs, Unpadded: m.Unpadded}
	if out.Name, out.Cred, err = p.outgoing(m); err != nil {
		return err
	}
	err = sendMsg(sock, &out, flags)
	m.N = out.N
	return err
}

// Recv receives one message, or bytes of a stream, from the socket sock into m.Buffers and m.FDs. It makes
// a single recvmsg(2) call with the given flags and MSG_CMSG_CLOEXEC. The caller must close the descriptors
// m.FDs[:m.NFD] and *m.PIDFD: see [Message.Close] and [Message.Files]. At the end of a stream m.N and
// m.NFD are 0.
//
// If more descriptors arrive than fit into m.FDs, the kernel or Recv closes the rest and sets MSG_CTRUNC in
// m.Flags: see [Message.Truncated]. Recv does not return an error for that. MSG_CTRUNC is also set if the
// process has reached its descriptor limit (EMFILE), or if a security module rejected a descriptor. In each
// case Recv returns the descriptors that precede the first missing one, so each has the index that the
// sender gave it. With SO_RIGHTS_NOTRUNC the kernel also installs those that follow a rejected descriptor,
// and Recv closes them.
//
// With SO_PASSCRED, SO_PASSPIDFD or SO_TIMESTAMP, control data that the caller does not ask for takes up
// space for descriptors. With SO_INQ, Linux sets MSG_CTRUNC although no descriptor is missing.
//
// If a datagram or seqpacket message is longer than m.Buffers, the rest of it is lost and MSG_TRUNC is set
// in m.Flags. Recv does not return an error for that either.
//
// If Recv returns an error, it received nothing. The error is ErrTooManyFDs, ErrTooManyBuffers, or one that
// wraps the errno: EAGAIN, EINTR, ENOTCONN, …
func Recv(sock int, m *Message, flags int) error {
	m.reset()
	if err := checkLimits(m); err != nil {
		return err
	}
	return os.NewSyscallError("recvmsg", recvMessage(toInt32(sock), m, flags))
}

// recvMessage makes the system call of Recv. Its error is a bare errno.
func recvMessage(sock int32, m *Message, flags int) error {
	if m.hasParts() {
		return recvParts(sock, m, flags)
	}
	in := msg.Message{Buffers: m.Buffers, FDs: m.FDs}
	if err := recvOne(sock, &in, flags); err != nil {
		return err
	}
	m.N, m.NFD, m.Flags = in.N, in.NFD, in.Flags
	return nil
}

// recvParts is separate from recvMessage for the same reason as sendParts.
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

// arrival returns what a receive stored in m.
func (m *Message) arrival() arrival {
	return arrival{m.N, m.NFD, m.Flags, !isEmpty(m.Buffers), m.PIDFD != nil && *m.PIDFD >= 0}
}

// hasParts reports whether m asks for more than buffers and descriptors.
func (m *Message) hasParts() bool { return m.Addr != nil || m.Cred != nil || m.PIDFD != nil }

// reset clears what a receive stores in m, as if nothing was received.
func (m *Message) reset() {
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

// parts are the values that a msg.Message points to. They are a separate struct so that both can stay on
// the stack.
type parts struct {
	name  [msg.NameBytes]byte
	cred  msg.Cred
	pidfd int // for *m.PIDFD, until the descriptors are stored in FDs
}

// outgoing returns the address and the credentials of m in the form that the backends send.
func (p *parts) outgoing(m *Message) (name []byte, cred *msg.Cred, err error) {
	if m.Addr != nil {
		n, err := sys.PutAddr(&p.name, m.Addr.Name)
		if err != nil {
			return nil, nil, err
		}
		name = p.name[:n]
	}
	if m.Cred != nil {
		p.cred = msg.Cred{PID: toInt32(m.Cred.PID), UID: toID(m.Cred.UID), GID: toID(m.Cred.GID)}
		cred = &p.cred
	}
	return name, cred, nil
}

// incoming returns where the backend must store the address, the credentials and the pidfd for m.
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

// received stores the received address, credentials and pidfd in m. It must be called after the descriptors
// have been stored in FDs.
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
	if *m.PIDFD >= 0 { // it is another descriptor of the message, which must not be lost
		sys.Close(p.pidfd)
		m.Flags |= sys.ControlTruncated
		return
	}
	*m.PIDFD = p.pidfd
}

// toID converts a user or group ID to the kernel's type. A value that does not fit must not lose its upper
// half and become root, so toID turns it into an ID that the kernel rejects (EINVAL). In a 32-bit int, IDs
// of 1<<31 and above are negative.
func toID(id int) uint32 {
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
