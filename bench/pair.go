//go:build linux && cgo

package main

import (
	"log"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A pair is two connected sockets that block, and what goes from a to b.
type pair struct{ a, b, cargo int }

func newPair(kind int) pair {
	two := must(unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0))
	return pair{two[0], two[1], must(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))}
}

// must returns what there is to begin with, and ends the program if there is none.
func must[T interface{}](v T, err error) T {
	if err != nil {
		log.Fatal("bench: ", err)
	}
	return v
}

func duplicate(fd int) int { return must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)) }

// file is a duplicate of a number, as a file.
func file(fd int) *os.File { return os.NewFile(uintptr(duplicate(fd)), "-") }

// conn is a duplicate of a socket in the runtime's poller, which makes it
// non-blocking.
func conn(fd int) *net.UnixConn {
	f := file(fd)
	defer f.Close()
	return must(net.FileConn(f)).(*net.UnixConn)
}
