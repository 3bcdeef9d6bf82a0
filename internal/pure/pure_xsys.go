//go:build unix && !linux

package pure

import "golang.org/x/sys/unix"

// maxBuffers is the systems' IOV_MAX.
const maxBuffers = 1024

// roomBytes is control for more descriptors than any of these systems passes
// in a message: macOS installs everything before it cuts, FreeBSD delivers
// nothing at all where the length is exact.
const roomBytes = 1024*4 + 64

// WriteFD is csrc's write_fd.
func WriteFD(sock int32, p []byte, fd int32) (n int, err error) {
	var bufs = [1][]byte{p}
	var fds = [1]int32{fd}
	return Send(sock, bufs[:], fds[:], 0)
}

// ReadFD is csrc's read_fd. fd is -1 or FDLost where there is no descriptor
// to hand over.
func ReadFD(sock int32, p []byte) (n int, fd int32, err error) {
	var bufs = [1][]byte{p}
	var fds [1]int32
	n, taken, flags, err := Recv(sock, bufs[:], fds[:], 0)
	switch {
	case err != nil:
		return -1, -1, err
	case flags&unix.MSG_CTRUNC != 0:
		if taken == 1 {
			closeFD(fds[0])
		}
		return n, FDLost, nil
	case taken == 0:
		return n, -1, nil
	}
	return n, fds[0], nil
}

// Send is csrc's scm_send.
func Send(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	if err := checkLimits(bufs, fds); err != nil {
		return -1, err
	}
	var oob []byte
	if len(fds) > 0 {
		var c control
		oob = putFDs(c.bytes(), fds)
	}
	n, err = unix.SendmsgBuffers(int(sock), bufs, oob, nil, flags)
	if err != nil {
		return -1, err
	}
	return n, nil
}

// Recv is csrc's scm_recv.
func Recv(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	if err := checkLimits(bufs, fds); err != nil {
		return -1, 0, 0, err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = make([]byte, roomBytes)
	}
	n, oobn, rflags, _, err := unix.RecvmsgBuffers(int(sock), bufs, oob, flags|cmsgCloexec)
	if err != nil {
		return -1, 0, 0, err
	}
	nfd, cut := takeFDs(oob[:oobn], fds)
	if cut {
		rflags |= unix.MSG_CTRUNC
	}
	return n, nfd, rflags &^ cmsgCloexec, nil
}

func checkLimits(bufs [][]byte, fds []int32) error {
	switch {
	case len(fds) > maxFDs:
		return unix.EINVAL
	case len(bufs) > maxBuffers:
		return unix.EMSGSIZE
	}
	return nil
}
