//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// sizes makes a call of each size, one after the other: what a seed leaves to
// chance. A fault at one size alone is in no other call.
func (w *world) sizes() {
	w.everyCount()
	w.everyBuffers()
	w.everyLength()
	w.everyFlag()
	w.everyNumber()
	w.everyAddress()
	w.everyBatch()
	w.everySocket()
}

// pair makes a pair of sockets, and ends with it what f has opened.
func (w *world) pair(typ int, f func(a, b int)) {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	w.socks = p
	f(p[0], p[1])
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// closeReceived closes what lies behind the sockets.
func (w *world) closeReceived() {
	check(unix.CloseRange(uint(max(w.socks[0], w.socks[1])+1), last, 0))
}

// takes receives, and closes what came.
func (w *world) takes(sock int, m scm.Message, flags int) {
	w.receives(sock, m, flags)
	w.closeReceived()
}

func (w *world) takesBatch(sock int, ms []scm.Message) {
	w.receivesBatch(sock, ms, 0)
	w.closeReceived()
}

// sent has n descriptors in an order of their own; kind's bits say whether it is
// unpadded and has credentials.
func (w *world) sent(n, kind int) scm.Message {
	m := scm.Message{Buffers: [][]byte{pattern[n : n+1]}, Unpadded: kind&1 != 0}
	for i := range n {
		m.FDs = append(m.FDs, first+(7*i+n)%len(w.files))
	}
	if kind&2 != 0 {
		m.Cred = &scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
	}
	return m
}

// roomFor is for n descriptors; kind's bits say whether it is for a pidfd and
// credentials.
func (w *world) roomFor(n, kind int) scm.Message {
	m := scm.Message{Buffers: [][]byte{w.space(2)}, FDs: make([]int, n), N: -7, NFD: -7, Flags: -7}
	for i := range m.FDs {
		m.FDs[i] = -7
	}
	if kind&1 != 0 {
		pidfd := -7
		m.PIDFD = &pidfd
	}
	if kind&2 != 0 {
		m.Cred = &scm.Cred{PID: -7, UID: -7, GID: -7}
	}
	return m
}

// everyCount passes each number of descriptors, and one too many, with and
// without credentials, padded and not. The room is for as many, for one fewer
// and for one more.
func (w *world) everyCount() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		for n := range scm.MaxFDs + 2 {
			for kind := range 4 {
				check(unix.SetsockoptInt(b, unix.SOL_SOCKET, unix.SO_PASSCRED, kind>>1))
				w.sends(a, w.sent(n, kind), 0)
				room := n + []int{0, 0, -1, 1}[(n+kind)%4]
				w.takes(b, w.roomFor(min(max(room, 0), scm.MaxFDs+1), kind), 0)
			}
			check(unix.SetsockoptInt(b, unix.SOL_SOCKET, unix.SO_PASSCRED, 0))
			w.sendsBatch(a, []scm.Message{w.sent(n, n&3), w.sent(n, n&3^3)}, 0)
			w.takesBatch(b, []scm.Message{w.roomFor(n, n&3), w.roomFor(n, n&3^3)})
			w.takesBatch(b, []scm.Message{w.roomFor(n, 0)}) // what a refused receive has left
		}
	})
}

// around are numbers: all that are small, and what lies around powers of two up to the limit.
func around(small, limit int) (list []int) {
	for n := range small {
		list = append(list, n)
	}
	for n := 8; n <= limit; n *= 2 {
		if n > small {
			list = append(list, n-1, n, n+1)
		}
	}
	return list
}

func (w *world) everyBuffers() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		for _, n := range around(41, scm.MaxBuffers) {
			out, in := w.sent(n%2, 0), w.roomFor(n%2, 0)
			out.Buffers, in.Buffers = nil, nil
			for i := range n {
				out.Buffers = append(out.Buffers, pattern[i:i+i%3:i+i%3])
				in.Buffers = append(in.Buffers, w.space(i%4))
			}
			w.sends(a, out, 0)
			w.takes(b, in, 0)
		}
	})
}

func (w *world) everyLength() {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		w.pair(typ, func(a, b int) {
			for _, length := range around(300, 1<<16) {
				p := pattern[:length:length]
				w.writesFD(a, p, first+length%len(w.files))
				w.readsFD(b, w.space(length))
				w.closeReceived()
				out, in := w.sent(1, 0), w.roomFor(1, 0)
				out.Buffers, in.Buffers = [][]byte{p}, [][]byte{w.space(length)}
				w.sends(a, out, 0)
				w.takes(b, in, 0)
			}
		})
	}
}

// everyFlag gives each bit of the flags alone, to each type of socket.
func (w *world) everyFlag() {
	for _, kind := range types {
		for bit := range 32 {
			w.pair(kind.typ, func(a, b int) {
				flag := int(int32(uint32(1) << bit))
				w.sends(a, w.sent(1, 0), flag)
				w.takes(b, w.roomFor(1, 0), flag)
				w.sends(a, w.sent(2, 0), 0)
				w.takes(b, w.roomFor(1, 0), flag)
			})
		}
	}
}

// noProcess is above all numbers of processes: PID_MAX_LIMIT of the kernel.
const noProcess = 1 << 22

// everyNumber sends each bit of a descriptor's number, and of credentials.
func (w *world) everyNumber() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		empty := func() { w.takes(b, w.roomFor(1, 0), 0) }
		for bit := range 32 {
			number := int(int32(uint32(1) << bit))
			out := w.sent(1, 0)
			out.FDs[0] = number
			w.sends(a, out, 0)
			empty()
			w.writesFD(a, pattern[:1], number)
			empty()
			for _, field := range []func(*scm.Cred) *int{
				func(c *scm.Cred) *int { return &c.PID },
				func(c *scm.Cred) *int { return &c.UID },
				func(c *scm.Cred) *int { return &c.GID },
			} {
				out := w.sent(0, 2)
				if *field(out.Cred) = number; out.Cred.PID == number {
					out.Cred.PID |= noProcess
				}
				w.sends(a, out, 0)
				empty()
			}
		}
		for _, sock := range []int{-1, math.MinInt32, math.MaxInt32, math.MinInt, math.MaxInt} {
			w.sends(sock, w.sent(1, 0), 0)
			w.takes(sock, w.roomFor(1, 0), 0)
		}
	})
}

// everyAddress sends to, and receives from, an address of each length that one
// can have, and one too long.
func (w *world) everyAddress() {
	w.pair(unix.SOCK_DGRAM, func(_, _ int) {
		for n := 1; n <= 109; n++ {
			for _, name := range []string{strings.Repeat("x", n), "@" + strings.Repeat("x", n-1)} {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				check(err)
				w.socks[1] = fd // so that it stays open
				if name[0] != '@' && n < 109 {
					// x/sys refuses a path of 108 bytes, which the kernel takes.
					check(raw.Bind(fd, append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), name...)))
				}
				out, in := w.sent(1, 0), w.roomFor(1, 0)
				out.Addr = &net.UnixAddr{Name: name, Net: "unixgram"}
				in.Addr = &net.UnixAddr{Name: "stale"}
				w.sends(fd, out, 0) // to itself
				w.takes(fd, in, 0)
				check(unix.Close(fd))
				_ = unix.Unlink(name) // if it is there
			}
		}
	})
}

// mostMessages is how many messages one system call takes: msg.MaxBatch.
const mostMessages = 32

// everyBatch sends and receives batches of each size, and of one too many. Every
// message has another number of buffers and descriptors.
func (w *world) everyBatch() {
	for _, kind := range types {
		w.pair(kind.typ, func(a, b int) {
			for size := range mostMessages + 2 {
				out, in := make([]scm.Message, size), make([]scm.Message, size)
				for i := range size {
					out[i], in[i] = w.sent(i%4, i%4), w.roomFor(i%4, i/2%4)
					for range i % 11 {
						out[i].Buffers = append(out[i].Buffers, pattern[i:i+i%5])
						in[i].Buffers = append(in[i].Buffers, w.space(i%5))
					}
				}
				w.sendsBatch(a, out, 0)
				w.takesBatch(b, in)
				w.takesBatch(b, in) // what a queue has no room for, or one too many
			}
		})
	}
}

// everySocket hands a socket of each kind over, from a Conn of each type to another.
func (w *world) everySocket() {
	for _, kind := range types {
		var a, b *scm.Conn
		var err error
		network := map[string]string{"stream": "unix", "dgram": "unixgram", "seqpacket": "unixpacket"}[kind.name]
		w.call("Pair "+network, func() { a, b, err = scm.Pair(network) }, &err)
		for _, s := range []struct{ family, typ int }{
			{unix.AF_UNIX, unix.SOCK_STREAM}, {unix.AF_UNIX, unix.SOCK_DGRAM}, {unix.AF_UNIX, unix.SOCK_SEQPACKET},
			{unix.AF_INET, unix.SOCK_STREAM}, {unix.AF_INET, unix.SOCK_DGRAM},
		} {
			for _, listens := range []bool{false, true} {
				fd, err := unix.Socket(s.family, s.typ|unix.SOCK_CLOEXEC, 0)
				check(err)
				// A TCP socket would listen on another port each time.
				listens := listens && s.family == unix.AF_UNIX
				if listens {
					check(unix.Bind(fd, &unix.SockaddrUnix{Name: "listens"}))
					listens = unix.Listen(fd, 1) == nil
				}
				what := fmt.Sprintf("family %d, type %d, listens %v", s.family, s.typ, listens)
				f := os.NewFile(uintptr(fd), what)
				w.call("Conn.SendConn "+what, func() { err = a.SendConn(fdtest.AsSocket(f)) }, &err)
				w.receivesSocket("RecvConn", func() (io.Closer, error) { return b.RecvConn() })
				w.call("Conn.SendListener "+what, func() { err = a.SendListener(fdtest.AsSocket(f)) }, &err)
				w.receivesSocket("RecvListener", func() (io.Closer, error) { return b.RecvListener() })
				check(f.Close())
				_ = unix.Unlink("listens") // if it is there
			}
		}
		w.call("Close", func() { err = errors.Join(a.Close(), b.Close()) }, &err)
	}
}

// receivesSocket is RecvConn or RecvListener.
func (w *world) receivesSocket(name string, recv func() (io.Closer, error)) {
	var got io.Closer
	var err error
	w.call("Conn."+name, func() { got, err = recv() }, &err)
	if err == nil {
		fmt.Fprintf(w.out, "%T\n", got)
		check(got.Close())
	}
}
