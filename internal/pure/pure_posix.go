//go:build unix && !linux

package pure

import (
	"runtime"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// roomBytes is the size of the control buffer. It is enough for more descriptors than any of
// these systems passes in a message: macOS installs all of them before it truncates, and
// FreeBSD delivers none if the size is exact.
const roomBytes = 1024*4 + 64

// WriteFD does the same as write_fd in csrc.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: []int{int(fd)}}
	if err := Send(sock, &m, 0); err != nil {
		return -1, err
	}
	return m.N, nil
}

// ReadFD does the same as read_fd in csrc. fd is -1 or FDLost if there is no descriptor to
// return.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	m := msg.Message{Buffers: [][]byte{p}, FDs: make([]int, 1)}
	if err := Recv(sock, &m, 0); err != nil {
		return -1, -1, err
	}
	return m.N, pairFD(&m), nil
}

// Send does the same as scm_rights_send in csrc.
func Send(sock int32, m *msg.Message, flags int) error {
	m.ClearResults()
	if err := check(m); err != nil {
		return err
	}
	flags |= endOfRecord(sock)
	var oob []byte
	if len(m.FDs) > 0 {
		var c control
		oob = c.bytes()[:PutControl(c.bytes(), m)]
	}
	to, err := sockaddr(m.Name)
	if err != nil {
		return err
	}
	n, err := unix.SendmsgBuffers(int(sock), buffers(m), oob, to, flags)
	m.N = max(n, 0)
	return err
}

// Recv does the same as scm_rights_recv in csrc.
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
		// The kernel or x/sys can reject the sender's address after descriptors were installed.
		closeInstalled(oob)
		return err
	}
	m.N, m.Flags = n, rflags
	m.NameLen = putSockaddr(m.Name, from)
	takeControl(oob[:oobn], m)
	m.Flags &^= sys.CmsgCloexec
	return nil
}

// endOfRecord returns the flag that ends a message on a FreeBSD seqpacket socket. Since FreeBSD 15, the receiver gets
// a message sent without it joined with the next. On a stream the flag fails with EINVAL there.
func endOfRecord(sock int32) int {
	if runtime.GOOS != "freebsd" {
		return 0
	}
	if typ, err := unix.GetsockoptInt(int(sock), unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_SEQPACKET {
		return 0
	}
	return unix.MSG_EOR
}

// buffers returns m's buffers, or an empty one if it has none: macOS fails with EMSGSIZE if a message has no buffer.
func buffers(m *msg.Message) [][]byte {
	if len(m.Buffers) == 0 {
		return make([][]byte, 1)
	}
	return m.Buffers
}

// pathAt is the offset of the path in a struct sockaddr_un.
const pathAt = 2

// sockaddr converts the bytes of a Unix address to the type of x/sys.
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

// putSockaddr writes a sender's address as bytes. Only the path matters.
func putSockaddr(name []byte, from unix.Sockaddr) int {
	un, ok := from.(*unix.SockaddrUnix)
	if !ok || len(name) < pathAt || un.Name == "" {
		return 0
	}
	clear(name[:pathAt])
	return pathAt + copy(name[pathAt:], un.Name)
}
