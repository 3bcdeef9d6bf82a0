package pure

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fewBuffers is how many buffers fit the small iovec.
const fewBuffers = 8

// maxBuffers is the kernel's UIO_MAXIOV.
const maxBuffers = 1024

// pairControl is CMSG_SPACE(sizeof(int)): as in the book, it admits two
// descriptors on 64-bit systems.
const pairControl = (unix.SizeofCmsghdr + 4 + unix.SizeofPtr - 1) &^ (unix.SizeofPtr - 1)

// WriteFD is csrc's write_fd: one sendmsg of p and fd, flags 0.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	var c [pairControl / unix.SizeofPtr]uintptr
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&c)), pairControl)
	putFDs(buf, []int32{fd})

	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	return sendmsg(sock, &hdr, 0)
}

// ReadFD is csrc's read_fd: one recvmsg into p. fd is -1 or FDLost where
// there is no descriptor to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var c [pairControl / unix.SizeofPtr]uintptr
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&c)), pairControl)

	iov := unix.Iovec{Base: unsafe.SliceData(p)}
	iov.SetLen(len(p))
	hdr := unix.Msghdr{Iov: &iov, Control: &buf[0]}
	hdr.SetIovlen(1)
	hdr.SetControllen(pairControl)
	n, err = recvmsg(sock, &hdr, cmsgCloexec)
	if err != nil {
		return -1, -1, err
	}
	var one [1]int32
	taken, cut := takeFDs(buf[:hdr.Controllen], one[:])
	if cut || hdr.Flags&unix.MSG_CTRUNC != 0 {
		if taken == 1 {
			closeFD(one[0])
		}
		return n, FDLost, nil
	}
	if taken == 0 {
		return n, -1, nil
	}
	return n, one[0], nil
}

// Send is csrc's scm_send: one sendmsg of bufs and fds.
func Send(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	switch {
	case len(fds) > maxFDs:
		return -1, unix.EINVAL
	case len(bufs) > maxBuffers:
		return -1, unix.EMSGSIZE
	case len(bufs) > fewBuffers:
		return sendMany(sock, bufs, fds, flags)
	}
	var iov [fewBuffers]unix.Iovec
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return send(sock, &iov[0], len(bufs), fds, flags)
}

// sendMany has room for every iovec that the kernel takes on its own stack.
// The loop is here again because a helper's store through a pointer would move
// every caller's buffers to the heap.
//
//go:noinline
func sendMany(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	var iov [maxBuffers]unix.Iovec
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return send(sock, &iov[0], len(bufs), fds, flags)
}

func send(sock int32, iov *unix.Iovec, iovlen int, fds []int32, flags int) (n int, err error) {
	hdr := unix.Msghdr{Iov: iov}
	hdr.SetIovlen(iovlen)
	if len(fds) > 0 {
		var c control
		part := putFDs(c.bytes(), fds)
		hdr.Control = &part[0]
		hdr.SetControllen(len(part))
		return sendmsg(sock, &hdr, flags)
	}
	return sendmsg(sock, &hdr, flags)
}

// Recv is csrc's scm_recv: one recvmsg into bufs and fds, whose length is the
// room. rflags is what the kernel said, without MSG_CMSG_CLOEXEC.
func Recv(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	switch {
	case len(fds) > maxFDs:
		return -1, 0, 0, unix.EINVAL
	case len(bufs) > maxBuffers:
		return -1, 0, 0, unix.EMSGSIZE
	case len(bufs) > fewBuffers:
		return recvMany(sock, bufs, fds, flags)
	}
	var iov [fewBuffers]unix.Iovec
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return recv(sock, &iov[0], len(bufs), fds, flags)
}

// recvMany is to Recv as sendMany is to Send.
//
//go:noinline
func recvMany(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	var iov [maxBuffers]unix.Iovec
	for i, b := range bufs {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	return recv(sock, &iov[0], len(bufs), fds, flags)
}

func recv(sock int32, iov *unix.Iovec, iovlen int, fds []int32, flags int) (n, nfd, rflags int, err error) {
	var c control
	hdr := unix.Msghdr{Iov: iov}
	hdr.SetIovlen(iovlen)
	if len(fds) > 0 {
		// The exact length: the kernel drops what the caller has no room for.
		hdr.Control = &c.bytes()[0]
		hdr.SetControllen(unix.CmsgLen(4 * len(fds)))
	}
	n, err = recvmsg(sock, &hdr, flags|cmsgCloexec)
	if err != nil {
		return -1, 0, 0, err
	}
	rflags = int(hdr.Flags) &^ cmsgCloexec
	nfd, cut := takeFDs(c.bytes()[:hdr.Controllen], fds)
	if cut {
		rflags |= unix.MSG_CTRUNC
	}
	return n, nfd, rflags, nil
}

func sendmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return result(n, errno)
}

func recvmsg(sock int32, hdr *unix.Msghdr, flags int) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(sock), uintptr(unsafe.Pointer(hdr)), uintptr(flags))
	return result(n, errno)
}

func result(n uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}
