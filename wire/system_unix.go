//go:build unix

package wire

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	noSignal         = unix.MSG_NOSIGNAL
	controlTruncated = unix.MSG_CTRUNC
	dataTruncated    = unix.MSG_TRUNC
)

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func closeOnExec(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags|unix.FD_CLOEXEC)
	}
	return os.NewSyscallError("fcntl", err)
}

// dialDatagram returns a datagram socket that is connected to the address.
func dialDatagram(name string) (sock int, err error) {
	syscall.ForkLock.RLock()
	sock, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		syscall.ForkLock.RUnlock()
		return -1, os.NewSyscallError("socket", err)
	}
	_, err = unix.FcntlInt(uintptr(sock), unix.F_SETFD, unix.FD_CLOEXEC)
	syscall.ForkLock.RUnlock()
	if err != nil {
		_ = unix.Close(sock)
		return -1, os.NewSyscallError("fcntl", err)
	}
	if err := again(func() error { return unix.Connect(sock, &unix.SockaddrUnix{Name: name}) }); err != nil {
		_ = unix.Close(sock)
		return -1, os.NewSyscallError("connect", err)
	}
	return sock, nil
}
