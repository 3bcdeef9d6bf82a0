//go:build unix && !linux

package pure

import (
	"runtime"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// roomBytes is the size of the control buffer. It is enough for more descriptors than any of these systems passes
// in a message. A receive that requests none needs it too: without a control buffer these systems drop the
// descriptors and do not set MSG_CTRUNC. If it is too small, macOS leaks descriptors, FreeBSD delivers none, and
// OpenBSD fails.
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
	var oob []byte
	if len(m.FDs) > 0 {
		var c control
		oob = c.bytes()[:PutControl(c.bytes(), m)]
	}
	n, err := sendmsg(sock, m, oob, flags)
	m.N = max(n, 0)
	return err
}

// Recv does the same as scm_rights_recv in csrc.
func Recv(sock int32, m *msg.Message, flags int) error {
	m.ClearReceived()
	if err := check(m); err != nil {
		return err
	}
	bufs, extra := m.Buffers, false
	if msg.IsEmpty(bufs) {
		// A receive into empty buffers does not wait, so receive a byte too, or on a stream wait for one.
		if typ, _ := unix.GetsockoptInt(int(sock), unix.SOL_SOCKET, unix.SO_TYPE); typ != unix.SOCK_STREAM {
			bufs, extra = oneByte, true
		} else if !sendsEmpty {
			return unix.EOPNOTSUPP
		} else if _, err := recvmsg(sock, &msg.Message{}, oneByte, nil, flags|unix.MSG_PEEK); err != nil {
			return err
		}
	}
	var oob []byte
	if flags&unix.MSG_PEEK == 0 { // a peek would return halves of kernel pointers as descriptors
		oob = make([]byte, roomBytes)
	}
	oobn, err := recvmsg(sock, m, bufs, oob, flags|sys.CmsgCloexec)
	if err != nil {
		// The kernel or x/sys can reject the sender's address after descriptors were installed.
		closeInstalled(oob)
		if err == unix.EMSGSIZE && oob != nil { // most of these systems return it if the descriptor table is full
			err = unix.EMFILE
		}
		return err
	}
	if extra && m.N > 0 {
		m.Flags |= unix.MSG_TRUNC
		if flags&unix.MSG_TRUNC == 0 { // with the flag, N is the length of the message
			m.N = 0
		}
	}
	takeControl(oob[:oobn], m)
	m.Flags &^= sys.CmsgCloexec
	if runtime.GOOS == "freebsd" {
		m.Flags &^= unix.MSG_EOR // from endOfRecord
	}
	return nil
}

// oneByte is where a receive into empty buffers stores a byte that is discarded.
var oneByte = [][]byte{make([]byte, 1)}
