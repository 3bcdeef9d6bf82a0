//go:build netbsd || freebsd || dragonfly

package pure

import (
	"runtime"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// These systems allow system calls that are not made by libc, so that x/sys cannot change the message.
const sendsEmpty = true

func sendmsg(sock int32, m *msg.Message, oob []byte, flags int) (n int, err error) {
	_, err = call(unix.SYS_SENDMSG, sock, m, m.Buffers, oob, flags|endOfRecord(sock))
	m.NameLen = 0
	return m.N, err
}

// recvmsg receives into bufs, oob and m.Name, and stores the results in m. It returns the length of the control data.
func recvmsg(sock int32, m *msg.Message, bufs [][]byte, oob []byte, flags int) (oobn int, err error) {
	return call(unix.SYS_RECVMSG, sock, m, bufs, oob, flags)
}

func call(trap uintptr, sock int32, m *msg.Message, bufs [][]byte, oob []byte, flags int) (oobn int, err error) {
	var few [8]unix.Iovec // so that most messages do not allocate
	iov := few[:]
	if len(bufs) > len(few) {
		iov = make([]unix.Iovec, len(bufs))
	}
	for i, p := range bufs {
		iov[i].Base = unsafe.SliceData(p)
		iov[i].SetLen(len(p))
	}
	hdr := unix.Msghdr{Iov: &iov[0], Name: unsafe.SliceData(m.Name), Control: unsafe.SliceData(oob)}
	hdr.Namelen = uint32(len(m.Name))
	hdr.SetIovlen(len(bufs))
	hdr.SetControllen(len(oob))
	n, _, errno := unix.Syscall(trap, uintptr(sock), uintptr(unsafe.Pointer(&hdr)), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	m.N, m.Flags, m.NameLen = int(n), int(hdr.Flags), int(hdr.Namelen)
	return int(hdr.Controllen), nil
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
