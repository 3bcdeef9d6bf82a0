//go:build unix

package sys

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// HasConns reports whether this system can pass descriptors.
	HasConns = true

	NoSignal         = unix.MSG_NOSIGNAL
	SendFlags        = NoSignal | DontWait
	RecvFlags        = DontWait
	ControlTruncated = unix.MSG_CTRUNC
	MsgTrunc         = unix.MSG_TRUNC

	// MaxName is the length of the longest path in sun_path, without the 0 byte after it.
	MaxName = len(unix.RawSockaddrUnix{}.Path) - 1

	// MaxAbstract is the length of the longest abstract name, including the "@" for its
	// first 0 byte. No 0 byte follows it.
	MaxAbstract = MaxName + 1
)

// Network returns package net's name for the type of a Unix socket.
func Network(fd int) (string, error) {
	family, err := socketFamily(fd)
	switch {
	case errors.Is(err, unix.ENOTSOCK):
		return "", fmt.Errorf("%w: %w", ErrNotUnix, err)
	case err != nil:
		return "", err
	case family != unix.AF_UNIX:
		return "", ErrNotUnix
	}
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", os.NewSyscallError("getsockopt", err)
	}
	switch typ {
	case unix.SOCK_STREAM:
		return "unix", nil
	case unix.SOCK_DGRAM:
		return "unixgram", nil
	case unix.SOCK_SEQPACKET:
		return "unixpacket", nil
	}
	return "", os.NewSyscallError("socket", unix.EPROTOTYPE)
}

// socketError returns the errno of a failed call on a socket, with EBADF replaced by ENOTSOCK if the
// descriptor was opened with O_PATH. Linux treats such a descriptor as if it were not open.
func socketError(fd int, err error) error {
	if err == unix.EBADF {
		if _, closed := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); closed == nil {
			return unix.ENOTSOCK
		}
	}
	return err
}

// socketType is the inverse of Network.
func socketType(network string) (int, error) {
	switch network {
	case "unix":
		return unix.SOCK_STREAM, nil
	case "unixgram":
		return unix.SOCK_DGRAM, nil
	case "unixpacket":
		return unix.SOCK_SEQPACKET, nil
	}
	return 0, net.UnknownNetworkError(network)
}

// Listening reports whether a socket is listening.
func Listening(fd int) (bool, error) {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return on != 0, os.NewSyscallError("getsockopt", socketError(fd, err))
}

// IsSocket reports whether fd is a socket of any family.
func IsSocket(fd int) (bool, error) {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err = socketError(fd, err); err == unix.ENOTSOCK {
		return false, nil
	}
	return err == nil, os.NewSyscallError("getsockopt", err)
}

// OnlyIPv6 reports whether a socket accepts IPv6, but not IPv4.
func OnlyIPv6(fd int) bool {
	on, _ := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return on != 0
}

func Nonblock(fd int) (bool, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return flags&unix.O_NONBLOCK != 0, os.NewSyscallError("fcntl", err)
}

func Connect(fd int, name string) error {
	for {
		err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: name})
		if err != unix.EINTR {
			return os.NewSyscallError("connect", err)
		}
	}
}

// Bind gives a socket a name. For "" Linux chooses an abstract name.
func Bind(fd int, name string) error {
	return os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}))
}

// ShutdownBoth shuts down both directions of a socket.
func ShutdownBoth(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) }

// Writable reports whether a socket is writable according to poll(2), or true if poll fails, as it does if
// RLIMIT_NOFILE is 0: the caller then sends again after a pause, instead of waiting for the poller.
func Writable(fd int32) bool {
	polled, err := poll(unix.PollFd{Fd: fd, Events: unix.POLLOUT})
	return err != nil || polled.Revents&unix.POLLOUT != 0
}

// Readable reports whether a read would return at once, with data or the end, according to poll(2).
func Readable(fd int32) bool {
	polled, _ := poll(unix.PollFd{Fd: fd, Events: unix.POLLIN})
	return polled.Revents&(unix.POLLIN|unix.POLLHUP) != 0
}

// poll takes and returns a PollFd, because the type of its events is another one on AIX.
func poll(fd unix.PollFd) (unix.PollFd, error) {
	fds := []unix.PollFd{fd}
	_, err := unix.Poll(fds, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(fds, 0)
	}
	return fds[0], err
}

// Close closes a descriptor that is not returned to the caller. It ignores errors, because every system
// releases the descriptor even if close fails.
func Close(fd int) { _ = unix.Close(fd) }

// Dup returns a new close-on-exec descriptor of at least lowest for the file of fd. Its error is a bare errno.
func Dup(fd, lowest int) (int, error) {
	own, err := dup(fd, lowest)
	if err == unix.EINVAL { // RLIMIT_NOFILE is at most lowest
		err = unix.EMFILE
	}
	return own, err
}

// IsCloseOnExec reports whether a descriptor is close-on-exec.
func IsCloseOnExec(fd int) (bool, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return flags&unix.FD_CLOEXEC != 0, os.NewSyscallError("fcntl", err)
}

// CloseOnExec makes a descriptor close-on-exec.
func CloseOnExec(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl", err)
}

// StandIn returns a descriptor for a blocking file, with O_APPEND set if fd has it set. The descriptor is not 1 or 2.
func StandIn(fd int) (own int, err error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	own, err = spare()
	if own == 1 || own == 2 {
		low := own
		own, err = Dup(low, 3)
		err = os.NewSyscallError("fcntl", err)
		Close(low)
	}
	if err != nil {
		return -1, err
	}
	if flags&unix.O_APPEND != 0 {
		if _, err := unix.FcntlInt(uintptr(own), unix.F_SETFL, unix.O_APPEND); err != nil {
			Close(own)
			return -1, os.NewSyscallError("fcntl", err)
		}
	}
	return own, nil
}

// reserve opens count descriptors and closes them again.
func reserve(count int) error {
	for ; count > 0; count-- {
		fd, err := spare()
		if err != nil {
			return err
		}
		defer Close(fd)
	}
	return nil
}
