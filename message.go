package scm

import (
	"fmt"
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

	// FDs are the descriptors to send. A receive stores at most len(FDs). There can be at most MaxFDs.
	FDs []int

	// Addr is the destination of an unconnected datagram, named as for [Dial], but no longer than sun_path. A
	// receive sets the Name of a non-nil Addr to the sender's name, or to "" if it has none or is not a Unix
	// socket. See [ListenPacket] before you reply.
	Addr *net.UnixAddr

	// Cred is sent with the message. If it does not identify the sender, the error is EPERM, unless the sender has
	// CAP_SYS_ADMIN (PID), CAP_SETUID or CAP_SETGID. With the capability, it is ESRCH if the PID does not exist. For an
	// invalid user or group, it is EINVAL.
	//
	// With SO_PASSCRED ([PassCred]), a receive stores in a non-nil Cred the credentials that the sender attached,
	// or those that the kernel supplies. Without credentials, PID is 0, and UID and GID are -1. If the message was
	// sent before the option was on, they can be 0 and 65534. At the end of a stream, the function Recv reports
	// root: check N first.
	Cred *Cred

	// With SO_PASSPIDFD ([PassPIDFD]), a receive stores in a non-nil PIDFD a descriptor for the process that Cred
	// identifies, which the caller must close. Otherwise it stores -1. It also stores -1, and sets MSG_CTRUNC, if
	// there was no space or, before Linux 6.17, if the process had been waited for. PIDFD must not point to an
	// element of FDs.
	PIDFD *int

	// Unpadded makes a send set msg_controllen to CMSG_LEN instead of CMSG_SPACE, as gVisor's fdchannel and
	// QEMU's bridge helper do.
	Unpadded bool

	// N is the number of payload bytes sent or received. After any error except an [*ExpectError] it is 0. After a
	// receive with the flag MSG_TRUNC, it is the length of the whole datagram or seqpacket message.
	N int

	// NFD is the number of descriptors received. They are FDs[:NFD].
	NFD int

	// Flags are the flags that the kernel returned with a received message, except MSG_CMSG_CLOEXEC: MSG_CTRUNC if
	// descriptors were lost, MSG_TRUNC if bytes were, and others. On FreeBSD, Recv never returns MSG_EOR, which
	// this package's sends set there on seqpacket sockets.
	Flags int

	asked bool // whether a receive has set *PIDFD; before that, its value means nothing
}

// Truncated reports whether Flags has MSG_CTRUNC, which means that descriptors may be missing. It does not
// report lost bytes (MSG_TRUNC).
func (m *Message) Truncated() bool { return m != nil && arrival{flags: m.Flags}.lostFDs() }

// Files creates files from the received descriptors FDs[:NFD], as [NewFile] does, and takes ownership of them:
// it sets NFD to 0, and the caller must close the files. On error, Files closes all files and descriptors,
// unless NFD is out of range (EINVAL). Files does not check whether the message is truncated, and does not
// change *PIDFD.
func (m *Message) Files() ([]*os.File, error) {
	if m == nil {
		return nil, nilError("Message")
	}
	if m.NFD < 0 || m.NFD > len(m.FDs) {
		return nil, sys.Error(fmt.Sprintf("scm: NFD is %d, but len(FDs) is %d", m.NFD, len(m.FDs)), sys.EINVAL)
	}
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
// ignores errors.
func (m *Message) Close() {
	if m == nil {
		return
	}
	if m.PIDFD != nil && m.asked && *m.PIDFD >= 0 {
		sys.Close(*m.PIDFD)
		*m.PIDFD = -1 // before FDs: if it is an element of FDs, it must not be closed twice
	}
	sys.CloseAll(m.FDs[:max(0, min(m.NFD, len(m.FDs)))])
	m.NFD = 0
}

// Cred identifies a process, its user and its group.
type Cred struct {
	PID, UID, GID int
}

// PeerCred (SO_PEERCRED) identifies the process that called connect, listen or socketpair for the other end of sock,
// with the user and group it had then. The socket may have been passed on since, and the PID reused: see [PeerPIDFD].
// A listening socket has the process that called listen. Without a peer, the error is ENOTCONN. For containers, see
// docs/questions.md.
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(narrow(sock))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd for the process that [PeerCred] identifies, and never for a later process with
// the same PID (Linux 6.5). The caller must close it. poll(2) reports it as readable once the process has
// ended. Before Linux 6.16, the error can be ESRCH or EINVAL if it has ended. If there is no peer, the
// error is ENODATA.
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(narrow(sock))
}

// PassCred turns SO_PASSCRED of sock on or off. While it is on, the kernel adds the sender's credentials to each
// message. Only Recv with a non-nil [Message].Cred makes space for these: other calls can lose descriptors, or return
// a [*TruncatedError] even for a message without any. An accepted socket has the option if the listener had it at
// connect.
func PassCred(sock int, on bool) error {
	return sys.SetOption(narrow(sock), sys.OptionPassCred, on)
}

// PassPIDFD is like [PassCred], but for SO_PASSPIDFD (Linux 6.5), with which the kernel adds a pidfd of the
// sender: see [Message].PIDFD.
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(narrow(sock), sys.OptionPassPIDFD, on)
}

// PassRights is like [PassCred], but for SO_PASSRIGHTS (Linux 6.16). While the option is off, sending
// descriptors to the socket fails with EPERM. Other data, and descriptors already queued, still get through. A Conn
// that expects no descriptors should set [Config].NoFiles instead, which also rejects those. Without kernel support,
// receive with a capacity of 0.
func PassRights(sock int, on bool) error {
	return sys.SetOption(narrow(sock), sys.OptionPassRights, on)
}

// Send sends m.Buffers and m.FDs, which stay open, through the socket sock as one message, with a single sendmsg(2)
// call and the given flags, such as MSG_NOSIGNAL to avoid SIGPIPE. On a stream, m.N, the number of bytes sent, can
// be less than the payload: send the rest without the descriptors. Concurrent payloads can mix.
func Send(sock int, m *Message, flags int) error {
	if err := m.check(); err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sendMessage(msg.Number(sock), m, flags))
}

// sendMessage makes the system call of Send. Its error is a bare errno.
func sendMessage(sock int32, m *Message, flags int) error {
	sys.BeforeSend()
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

// Recv receives one message, or bytes of a stream, into m, with a single recvmsg(2) call, the given flags and
// MSG_CMSG_CLOEXEC. The caller must close the descriptors, for example with [Message.Close]. At the end of a
// connection m.N and m.NFD are 0. Truncation is not an error, except for a full descriptor table outside Linux: check
// m.Flags.
func Recv(sock int, m *Message, flags int) error {
	if err := m.reset(); err != nil {
		return err
	}
	if err := recvMessage(msg.Number(sock), m, flags); err != nil {
		return recvError(err, len(m.FDs)) // not inlined
	}
	return nil
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
	return arrival{m.N, m.NFD, m.Flags, !msg.IsEmpty(m.Buffers), m.PIDFD != nil && *m.PIDFD >= 0}
}

// hasParts reports whether m asks for more than buffers and descriptors.
func (m *Message) hasParts() bool { return m.Addr != nil || m.Cred != nil || m.PIDFD != nil }

// reset clears what a receive stores in m, as if nothing was received. It returns the error of check.
func (m *Message) reset() error {
	if m == nil {
		return nilError("Message")
	}
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
	return m.check()
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
		p.cred = msg.Cred{PID: msg.Number(m.Cred.PID), UID: toID(m.Cred.UID), GID: toID(m.Cred.GID)}
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

// check returns an error if m cannot be sent or received into, and sets N to 0.
func (m *Message) check() error {
	if m == nil {
		return nilError("Message")
	}
	m.N = 0
	if len(m.FDs) > MaxFDs {
		return ErrTooManyFDs
	}
	if len(m.Buffers) > MaxBuffers {
		return ErrTooManyBuffers
	}
	return nil
}
