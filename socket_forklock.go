//go:build unix && !linux

package scm

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// These systems differ in which calls can make a socket close-on-exec. All can
// do it while no child process can be started.

// sysPairRoom is for one descriptor: the room is not exact here in any case.
const sysPairRoom = 1

func socketFamily(fd int) (int, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return -1, os.NewSyscallError("getsockname", err)
	}
	if _, ok := sa.(*unix.SockaddrUnix); !ok {
		return unix.AF_UNSPEC, nil
	}
	return unix.AF_UNIX, nil
}

func sysSocket(network string) (int, error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, err
	}
	return made("socket", func() (int, error) { return unix.Socket(unix.AF_UNIX, typ, 0) })
}

func sysPair(network string) (a, b int, err error) {
	typ, err := socketType(network)
	if err != nil {
		return -1, -1, err
	}
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	pair, err := unix.Socketpair(unix.AF_UNIX, typ, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
		if err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}
	if err != nil {
		sysClose(pair[0])
		sysClose(pair[1])
		return -1, -1, os.NewSyscallError("fcntl", err)
	}
	return pair[0], pair[1], nil
}

// sysAccept does not wait: the socket does not block.
func sysAccept(sock int) (int, error) {
	return made("accept", func() (int, error) {
		fd, _, err := unix.Accept(sock)
		return fd, err
	})
}

// made makes a number that is close-on-exec and does not block.
func made(name string, create func() (int, error)) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := create()
	if err != nil {
		return -1, os.NewSyscallError(name, err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		sysClose(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// sysDup returns a bare errno.
func sysDup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := unix.Dup(fd)
	if err == nil {
		unix.CloseOnExec(own)
	}
	return own, err
}

// sysRestrict has nothing to do for a socket that listens: nobody can connect
// before it does, and by then its file has its permissions.
func sysRestrict(_ int, network string, mode fs.FileMode) error {
	if network == "unixgram" {
		return fmt.Errorf("mode %v for %s: %w", mode, network, ErrUnsupported)
	}
	return nil
}
