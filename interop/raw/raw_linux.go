// Package raw holds the runner's own system calls: what it says to the kernel
// without any library that it judges.
package raw

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Send sends one message: the buffers, and fds in one SCM_RIGHTS message.
func Send(sock int, bufs [][]byte, fds []int, flags int) (int, error) {
	var control []byte
	if len(fds) > 0 {
		control = Rights(fds...)
	}
	return SendControl(sock, bufs, control, flags)
}

// SendControl sends one message with control as it is.
func SendControl(sock int, bufs [][]byte, control []byte, flags int) (int, error) {
	hdr := header(bufs, control)
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(&hdr)), uintptr(flags))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// Recv receives one message into bufs, with room for exactly room descriptors,
// close-on-exec. They are the caller's.
func Recv(sock int, bufs [][]byte, room, flags int) (n int, fds []int, rflags int, err error) {
	var control []byte
	if room > 0 {
		control = make([]byte, unix.CmsgLen(4*room))
	}
	hdr := header(bufs, control)
	r, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(&hdr)), uintptr(flags|unix.MSG_CMSG_CLOEXEC))
	if errno != 0 {
		return -1, nil, 0, errno
	}
	return int(r), rights(control[:hdr.Controllen]), int(hdr.Flags) &^ unix.MSG_CMSG_CLOEXEC, nil
}

// Rights is one SCM_RIGHTS message with its padding.
func Rights(fds ...int) []byte {
	b := make([]byte, unix.CmsgSpace(4*len(fds)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * len(fds)))
	for i, fd := range fds {
		binary.NativeEndian.PutUint32(b[unix.CmsgLen(4*i):], uint32(int32(fd)))
	}
	return b
}

func rights(control []byte) (fds []int) {
	for len(control) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := min(int(h.Len), len(control))
		if size < unix.SizeofCmsghdr {
			break
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_RIGHTS {
			for data := control[unix.CmsgLen(0):size]; len(data) >= 4; data = data[4:] {
				fds = append(fds, int(int32(binary.NativeEndian.Uint32(data))))
			}
		}
		control = control[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(control)):]
	}
	return fds
}

func header(bufs [][]byte, control []byte) (hdr unix.Msghdr) {
	iov := make([]unix.Iovec, len(bufs))
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	hdr.Iov = unsafe.SliceData(iov)
	hdr.SetIovlen(len(iov))
	hdr.Control = unsafe.SliceData(control)
	hdr.SetControllen(len(control))
	return hdr
}

// kcmpFile is KCMP_FILE of linux/kcmp.h.
const kcmpFile = 0

// SameDescription asks kcmp(2) whether two numbers of two processes are the
// same open file description.
func SameDescription(pid1, fd1, pid2, fd2 int) (bool, error) {
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid1), uintptr(pid2), kcmpFile, uintptr(fd1), uintptr(fd2), 0)
	if errno != 0 {
		return false, errno
	}
	return r == 0, nil
}
