//go:build !aix && !darwin && !solaris

package scm

// Where the kernel receives descriptors close-on-exec, a receive is the
// backend's and no more.

func readOne(sock int32, p []byte) (n int, fd int32, err error) {
	return readFD(sock, p)
}

func recvOne(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	return recvMsg(sock, bufs, fds, flags)
}
