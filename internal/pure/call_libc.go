//go:build unix && !linux && !netbsd && !freebsd && !dragonfly

package pure

import (
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// On these systems calls must go through libc, and therefore through x/sys. It adds a byte to an empty payload with
// control data, which on a stream would be lost.
const sendsEmpty = false

func sendmsg(sock int32, m *msg.Message, oob []byte, flags int) (int, error) {
	if oob != nil && msg.IsEmpty(m.Buffers) {
		return -1, unix.EOPNOTSUPP
	}
	var to unix.Sockaddr
	if len(m.Name) > 0 {
		to = &unix.SockaddrUnix{Name: sys.AddrName(m.Name)}
	}
	return unix.SendmsgBuffers(int(sock), buffers(m.Buffers), oob, to, flags)
}

// recvmsg receives into bufs, oob and m.Name, and stores the results in m. It returns the length of the control data.
func recvmsg(sock int32, m *msg.Message, bufs [][]byte, oob []byte, flags int) (int, error) {
	n, oobn, rflags, from, err := unix.RecvmsgBuffers(int(sock), buffers(bufs), oob, flags)
	if err != nil {
		return 0, err
	}
	m.N, m.Flags = n, rflags
	if un, ok := from.(*unix.SockaddrUnix); ok {
		var name [msg.NameBytes]byte
		length, _ := sys.PutAddr(&name, un.Name)
		m.NameLen = min(length, len(m.Name))
		copy(m.Name, name[:length])
	}
	return oobn, nil
}

// buffers returns bufs or, if it is empty, one empty buffer: macOS fails with EMSGSIZE if a message has no buffer.
func buffers(bufs [][]byte) [][]byte {
	if len(bufs) == 0 {
		return make([][]byte, 1)
	}
	return bufs
}
