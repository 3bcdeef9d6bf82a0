//go:build unix

package scm

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/msg"
)

const (
	sysSendFlags  = unix.MSG_NOSIGNAL | dontWait
	sysRecvFlags  = dontWait
	sysDontWait   = dontWait
	sysControlCut = unix.MSG_CTRUNC
	sysDataCut    = unix.MSG_TRUNC

	sysShutRead  = unix.SHUT_RD
	sysShutWrite = unix.SHUT_WR

	// sysMaxName is what sun_path holds beside a 0 byte.
	sysMaxName = len(unix.RawSockaddrUnix{}.Path) - 1

	// sysMaxAbstract is what it holds of an abstract name, for which "@" stands
	// in the place of a 0 byte and behind which there is none.
	sysMaxAbstract = sysMaxName + 1

	// backlog is above the limit of every system, which then holds.
	backlog = 1<<16 - 1
)

// sysNetwork is package net's word for the type of a Unix socket.
func sysNetwork(fd int) (string, error) {
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

// socketType is the inverse of sysNetwork.
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

// sysNames are the addresses of both ends: the own one is unnamed and the other one
// nil where there is none, or where the system does not tell.
func sysNames(fd int, network string) (local, remote *net.UnixAddr) {
	local = unixAddr(network, "")
	if name, err := sysSockname(fd); err == nil {
		local = unixAddr(network, name)
	}
	if name, err := sysPeername(fd); err == nil {
		remote = unixAddr(network, name)
	}
	return local, remote
}

// sysListening tells whether a socket listens.
func sysListening(fd int) (bool, error) {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return on != 0, os.NewSyscallError("getsockopt", err)
}

func sysNonblock(fd int) (bool, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return flags&unix.O_NONBLOCK != 0, os.NewSyscallError("fcntl", err)
}

func sysSetNonblock(fd int, on bool) error {
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, on))
}

// sysBind is package syscall's, which has an abstract name as long as sun_path.
func sysBind(fd int, name string) error {
	return os.NewSyscallError("bind", syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}))
}

func sysListen(fd int) error {
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

func sysConnect(fd int, name string) error {
	for {
		err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: name})
		if err != unix.EINTR {
			return os.NewSyscallError("connect", err)
		}
	}
}

func sysShutdown(fd, how int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, how))
}

// sysInternet is package net's word for the type of a socket of AF_INET or AF_INET6.
func sysInternet(fd int) (string, error) {
	internet, err := internetFamily(fd)
	if err != nil {
		return "", err
	}
	if !internet {
		return "", os.NewSyscallError("socket", unix.EPROTONOSUPPORT)
	}
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case err != nil:
		return "", os.NewSyscallError("getsockopt", err)
	case typ == unix.SOCK_STREAM:
		return "tcp", nil
	case typ == unix.SOCK_DGRAM:
		return "udp", nil
	}
	return "ip", nil
}

// zone is package net's name for an IPv6 scope.
func zone(scope uint32) string {
	if scope == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(scope)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(scope), 10)
}

// sysReceive and sysSend do not wait, whether the socket blocks or not.
func sysReceive(fd int, p []byte) (int, error) {
	n, _, err := unix.Recvfrom(fd, p, dontWait)
	return n, os.NewSyscallError("recvfrom", err)
}

func sysSend(fd int, p []byte) (int, error) {
	n, err := unix.SendmsgN(fd, p, nil, nil, sysSendFlags)
	return n, os.NewSyscallError("sendmsg", err)
}

// sysReadable is EAGAIN where poll(2) says that a read or an accept would wait.
func sysReadable(fd int) error {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err == nil && n == 0 {
		err = unix.EAGAIN
	}
	return os.NewSyscallError("poll", err)
}

// sysWritable tells whether poll(2) says that a socket can be written to.
func sysWritable(fd int32) bool {
	fds := []unix.PollFd{{Fd: fd, Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLOUT != 0
}

// sysClose closes a number that is handed to nobody. Its error has nobody to go
// to: the number is free on every system after close was called.
func sysClose(fd int) { _ = unix.Close(fd) }

func sysCloseOnExec(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl", err)
}

// What an error means.

func sysAgain(err error) bool     { return errors.Is(err, unix.EAGAIN) }
func sysAborted(err error) bool   { return errors.Is(err, unix.ECONNABORTED) }
func sysInUse(err error) bool     { return errors.Is(err, unix.EADDRINUSE) }
func sysRefused(err error) bool   { return errors.Is(err, unix.ECONNREFUSED) }
func sysOtherType(err error) bool { return errors.Is(err, unix.EPROTOTYPE) }

func sysInterrupted(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, syscall.Errno(msg.RestartSys))
}
func sysTableFull(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// sysIsErrno tells a bare errno, which is to be given its system call's name.
func sysIsErrno(err error) bool {
	_, ok := err.(syscall.Errno)
	return ok
}
