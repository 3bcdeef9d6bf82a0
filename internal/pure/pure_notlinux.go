//go:build unix && !linux

package pure

import (
	"runtime"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// roomBytes is control for more descriptors than any of these systems passes
// in a message: macOS installs everything before it cuts, FreeBSD delivers
// nothing at all where the length is exact.
const roomBytes = 1024*4 + 64

// WriteFD is csrc's write_fd.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: []int{int(fd)}}
	if err := Send(sock, &m, 0); err != nil {
		return -1, err
	}
	return m.N, nil
}

// ReadFD is csrc's read_fd. fd is -1 or FDLost where there is no descriptor
// to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: make([]int, 1)}
	if err := Recv(sock, &m, 0); err != nil {
		return -1, -1, err
	}
	return m.N, pairFD(&m), nil
}

// Send is csrc's scm_rights_send.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	if err := check(m); err != nil {
		return err
	}
	flags |= endOfRecord(sock)
	var oob []byte
	if len(m.FDs) > 0 {
		var c control
		oob = c.bytes()[:putControl(c.bytes(), m)]
	}
	to, err := sockaddr(m.Name)
	if err != nil {
		return err
	}
	sys.BeforeSend()
	n, err := unix.SendmsgBuffers(int(sock), buffers(m), oob, to, flags)
	m.N = max(n, 0)
	return err
}

// Recv is csrc's scm_rights_recv.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	if err := check(m); err != nil {
		return err
	}
	var oob []byte
	if len(m.FDs) > 0 {
		oob = make([]byte, roomBytes)
	}
	n, oobn, rflags, from, err := unix.RecvmsgBuffers(int(sock), buffers(m), oob, flags|sys.CmsgCloexec)
	if err != nil {
		// The kernel, or x/sys, can refuse the sender's address after descriptors were installed.
		closeInstalled(oob)
		return err
	}
	sys.AfterReceive()
	m.N, m.Flags = n, rflags
	m.NameLen = putSockaddr(m.Name, from)
	takeControl(oob[:oobn], m)
	m.Flags &^= sys.CmsgCloexec
	return nil
}

// endOfRecord is the flag by which a message on a seqpacket socket ends. FreeBSD needs it: from version 15 on,
// messages without it are one message for the receiver. On a stream it is EINVAL there.
func endOfRecord(sock int32) int {
	if runtime.GOOS != "freebsd" {
		return 0
	}
	if typ, err := unix.GetsockoptInt(int(sock), unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_SEQPACKET {
		return 0
	}
	return unix.MSG_EOR
}

// buffers are m's, or one that is empty where there are none: to macOS a message without a buffer is EMSGSIZE.
func buffers(m *msg.Message) [][]byte {
	if len(m.Buffers) == 0 {
		return make([][]byte, 1)
	}
	return m.Buffers
}

// pathAt is where the path lies in a struct sockaddr_un.
const pathAt = 2

// sockaddr makes of the bytes of a Unix address what x/sys takes.
func sockaddr(name []byte) (unix.Sockaddr, error) {
	switch {
	case len(name) == 0:
		return nil, nil
	case len(name) < pathAt:
		return nil, unix.EINVAL
	}
	path := name[pathAt:]
	for i, b := range path {
		if b == 0 {
			path = path[:i]
			break
		}
	}
	return &unix.SockaddrUnix{Name: string(path)}, nil
}

// putSockaddr writes a sender's address as bytes; only the path matters.
func putSockaddr(name []byte, from unix.Sockaddr) int {
	un, ok := from.(*unix.SockaddrUnix)
	if !ok || len(name) < pathAt || un.Name == "" {
		return 0
	}
	clear(name[:pathAt])
	return pathAt + copy(name[pathAt:], un.Name)
}
