//go:build unix

package wire

import (
	"errors"
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

func isCloseOnExec(fd int) (bool, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return flags&unix.FD_CLOEXEC != 0, os.NewSyscallError("fcntl", err)
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
	sock, err = datagramSocket()
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := again(func() error { return syscall.Connect(sock, &syscall.SockaddrUnix{Name: name}) }); err != nil {
		_ = unix.Close(sock)
		return -1, os.NewSyscallError("connect", err)
	}
	return sock, nil
}

// wouldWait tells an error that says that there is no room yet.
func wouldWait(err error) bool { return errors.Is(err, unix.EAGAIN) }
