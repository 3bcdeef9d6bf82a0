//go:build linux && cgo

package main

import (
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// A way is an interface of a library to pass descriptors. A pass sends a message, receives it, and closes the
// received descriptors.
type way struct {
	name string
	form form
	make func(s sockets, l load) (pass func())
}

// A form is the kind of messages that a way can pass.
type form int

const (
	single form = iota // one descriptor with one buffer
	any                // up to 253 descriptors
	curved             // any, for the cost by the number of descriptors per message
	bare               // one descriptor without a payload, on a seqpacket socket
	stream             // one descriptor with bytes of a stream
)

// A load describes the messages of a benchmark.
type load struct {
	name       string
	kind       int // the type of socket
	count      int // descriptors per message
	payload    int // bytes per message
	goroutines int // each has its own sockets
	echo       bool
	takes      []form
}

var (
	one   = []form{single, any, curved}
	loads = []load{
		{"a descriptor and a byte, stream", unix.SOCK_STREAM, 1, 1, 1, false, append(one, stream)},
		{"a descriptor and a byte, seqpacket", unix.SOCK_SEQPACKET, 1, 1, 1, false, one},
		{"a descriptor and no payload, seqpacket", unix.SOCK_SEQPACKET, 1, 0, 1, false, []form{bare}},
		{"a descriptor and 64 KiB, seqpacket", unix.SOCK_SEQPACKET, 1, 64 << 10, 1, false, one},
		{"a descriptor and a byte, there and back from another process on one processor, seqpacket", unix.SOCK_SEQPACKET, 1, 1, 1, true, one},
		{"a descriptor and a byte, 16 goroutines, stream", unix.SOCK_STREAM, 1, 1, 16, false, one},
		{"2 descriptors and a byte, stream", unix.SOCK_STREAM, 2, 1, 1, false, []form{curved}},
		{"4 descriptors and a byte, stream", unix.SOCK_STREAM, 4, 1, 1, false, []form{curved}},
		{"8 descriptors and a byte, stream", unix.SOCK_STREAM, 8, 1, 1, false, []form{curved}},
		{"16 descriptors and a byte, stream", unix.SOCK_STREAM, 16, 1, 1, false, []form{any, curved}},
		{"64 descriptors and a byte, stream", unix.SOCK_STREAM, 64, 1, 1, false, []form{curved}},
		{"253 descriptors and a byte, stream", unix.SOCK_STREAM, 253, 1, 1, false, []form{any, curved}},
	}
)

// sockets are two connected blocking sockets, and the descriptor that is passed from a to b.
type sockets struct{ a, b, cargo int }

// newSockets makes the sockets of a load. If the load echoes, a and b are the same socket, and another process has the
// other end.
func newSockets(l load) sockets {
	two := must(unix.Socketpair(unix.AF_UNIX, l.kind|unix.SOCK_CLOEXEC, 0))
	cargo := must(unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0))
	if !l.echo {
		return sockets{two[0], two[1], cargo}
	}
	end := os.NewFile(uintptr(two[1]), "the other end")
	defer end.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr, cmd.ExtraFiles = append(os.Environ(), echoes+"=1"), os.Stderr, []*os.File{end}
	check(cmd.Start())
	return sockets{two[0], two[0], cargo}
}

// check and must end the program if a call fails.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T interface{}](v T, err error) T {
	check(err)
	return v
}

// file returns a duplicate of a descriptor as an os.File.
func file(fd int) *os.File { return os.NewFile(uintptr(duplicate(fd)), "-") }

func duplicate(fd int) int { return must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)) }

// conn returns a duplicate of a socket in the runtime's poller. This makes the socket non-blocking.
func conn(fd int) *net.UnixConn {
	f := file(fd)
	defer f.Close()
	return must(net.FileConn(f)).(*net.UnixConn)
}
