//go:build linux && cgo

package main

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A pair is two connected sockets that block, and what goes from a to b.
type pair struct{ a, b, cargo int }

func newPair(kind int) (p pair, err error) {
	two, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return p, err
	}
	p = pair{two[0], two[1], -1}
	p.cargo, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		p.close()
	}
	return p, err
}

func (p pair) close() {
	for _, fd := range []int{p.a, p.b, p.cargo} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// file is a duplicate of a number, as a file.
func file(fd int) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), "-"), nil
}

// conn is a duplicate of a socket in the runtime's poller, which makes it
// non-blocking.
func conn(fd int) (*net.UnixConn, error) {
	f, err := file(fd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
