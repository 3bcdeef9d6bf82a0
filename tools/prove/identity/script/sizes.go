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

// sizes makes the calls of every size that docs/identity.md lists. If all calls were random, a fault
// that affects a single size would be found only by chance.
func (w *walker) sizes() {
	w.everyCount()
	w.everyBuffers()
	w.everyLength()
	w.everyFlag()
	w.everyBit()
	w.everyAddress()
	w.everyBatch()
	w.everySocket()
}

// pair calls f with a pair of sockets, and then closes them and everything that f opened.
func (w *walker) pair(typ int, f func(a, b int)) {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	w.socks = p
	f(p[0], p[1])
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// closeReceived closes all descriptors after those of the sockets.
func (w *walker) closeReceived() {
	check(unix.CloseRange(uint(max(w.socks[0], w.socks[1])+1), last, 0))
}

// receiveAndClose receives a message, and closes the received descriptors.
func (w *walker) receiveAndClose(sock int, m scm.Message, flags int) {
	w.receive(sock, m, flags)
	w.closeReceived()
}

func (w *walker) receiveBatchAndClose(sock int, ms []scm.Message) {
	w.receiveBatch(sock, ms, 0)
	w.closeReceived()
}

// messageToSend returns a message to send with n descriptors, in an order that depends on n. If kind&1
// is set, the message is unpadded. If kind&2 is set, it contains credentials.
func (w *walker) messageToSend(n, kind int) scm.Message {
	m := scm.Message{Buffers: [][]byte{pattern[n : n+1]}, Unpadded: kind&1 != 0}
	for i := range n {
		m.FDs = append(m.FDs, first+(7*i+n)%len(w.files))
	}
	if kind&2 != 0 {
		m.Cred = &scm.Cred{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}
	}
	return m
}

// messageToReceive returns a message that can receive up to n descriptors. If kind&1 is set, it can also
// receive a pidfd. If kind&2 is set, it can also receive credentials.
func (w *walker) messageToReceive(n, kind int) scm.Message {
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

// everyCount passes every number of descriptors up to one more than the maximum, with and without
// credentials, and with and without padding. The receiver has space for exactly as many descriptors, for
// one fewer or for one more.
func (w *walker) everyCount() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		for n := range scm.MaxFDs + 2 {
			for kind := range 4 {
				check(unix.SetsockoptInt(b, unix.SOL_SOCKET, unix.SO_PASSCRED, kind>>1))
				w.send(a, w.messageToSend(n, kind), 0)
				capacity := n + []int{0, 0, -1, 1}[(n+kind)%4]
				w.receiveAndClose(b, w.messageToReceive(min(max(capacity, 0), scm.MaxFDs+1), kind), 0)
			}
			check(unix.SetsockoptInt(b, unix.SOL_SOCKET, unix.SO_PASSCRED, 0))
			w.sendBatch(a, []scm.Message{w.messageToSend(n, n&3), w.messageToSend(n, n&3^3)}, 0)
			w.receiveBatchAndClose(b, []scm.Message{w.messageToReceive(n, n&3), w.messageToReceive(n, n&3^3)})
			w.receiveBatchAndClose(b, []scm.Message{w.messageToReceive(n, 0)}) // takes the messages that a rejected receive left in the queue
		}
	})
}

// around returns all integers below small, and those next to the powers of two up to the limit.
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

func (w *walker) everyBuffers() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		for _, n := range around(41, scm.MaxBuffers) {
			out, in := w.messageToSend(n%2, 0), w.messageToReceive(n%2, 0)
			out.Buffers, in.Buffers = nil, nil
			for i := range n {
				out.Buffers = append(out.Buffers, pattern[i:i+i%3:i+i%3])
				in.Buffers = append(in.Buffers, w.space(i%4))
			}
			w.send(a, out, 0)
			w.receiveAndClose(b, in, 0)
		}
	})
}

func (w *walker) everyLength() {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		w.pair(typ, func(a, b int) {
			for _, length := range around(300, 1<<16) {
				p := pattern[:length:length]
				w.writeFD(a, p, first+length%len(w.files))
				w.readFD(b, w.space(length))
				w.closeReceived()
				out, in := w.messageToSend(1, 0), w.messageToReceive(1, 0)
				out.Buffers, in.Buffers = [][]byte{p}, [][]byte{w.space(length)}
				w.send(a, out, 0)
				w.receiveAndClose(b, in, 0)
			}
		})
	}
}

// everyFlag passes each bit of the flags alone, on each type of socket.
func (w *walker) everyFlag() {
	for _, kind := range types {
		for bit := range 32 {
			w.pair(kind.typ, func(a, b int) {
				flag := int(int32(uint32(1) << bit))
				w.send(a, w.messageToSend(1, 0), flag)
				w.receiveAndClose(b, w.messageToReceive(1, 0), flag)
				w.send(a, w.messageToSend(2, 0), 0)
				w.receiveAndClose(b, w.messageToReceive(1, 0), flag)
			})
		}
	}
}

// noProcess is greater than every process ID: PID_MAX_LIMIT of the kernel.
const noProcess = 1 << 22

// everyBit sends a descriptor with each single bit, and credentials with each single bit in each field.
func (w *walker) everyBit() {
	w.pair(unix.SOCK_SEQPACKET, func(a, b int) {
		empty := func() { w.receiveAndClose(b, w.messageToReceive(1, 0), 0) }
		for bit := range 32 {
			value := int(int32(uint32(1) << bit))
			out := w.messageToSend(1, 0)
			out.FDs[0] = value
			w.send(a, out, 0)
			empty()
			w.writeFD(a, pattern[:1], value)
			empty()
			for _, field := range []func(*scm.Cred) *int{
				func(c *scm.Cred) *int { return &c.PID },
				func(c *scm.Cred) *int { return &c.UID },
				func(c *scm.Cred) *int { return &c.GID },
			} {
				out := w.messageToSend(0, 2)
				if *field(out.Cred) = value; out.Cred.PID == value {
					out.Cred.PID |= noProcess
				}
				w.send(a, out, 0)
				empty()
			}
		}
		for _, sock := range []int{-1, math.MinInt32, math.MaxInt32, math.MinInt, math.MaxInt} {
			w.send(sock, w.messageToSend(1, 0), 0)
			w.receiveAndClose(sock, w.messageToReceive(1, 0), 0)
		}
	})
}

// everyAddress sends to and receives from an address of every possible length, and one that is too long.
func (w *walker) everyAddress() {
	w.pair(unix.SOCK_DGRAM, func(_, _ int) {
		for n := 1; n <= 109; n++ {
			for _, name := range []string{strings.Repeat("x", n), "@" + strings.Repeat("x", n-1)} {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				check(err)
				w.socks[1] = fd // so that closeReceived leaves it open
				if name[0] != '@' && n < 109 {
					// x/sys rejects a path of 108 bytes, which the kernel accepts.
					check(raw.Bind(fd, append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), name...)))
				}
				out, in := w.messageToSend(1, 0), w.messageToReceive(1, 0)
				out.Addr = &net.UnixAddr{Name: name, Net: "unixgram"}
				in.Addr = &net.UnixAddr{Name: "stale"}
				w.send(fd, out, 0) // to itself
				w.receiveAndClose(fd, in, 0)
				check(unix.Close(fd))
				_ = unix.Unlink(name) // if it exists
			}
		}
	})
}

// maxMessages is the maximum number of messages of one system call: msg.MaxBatch.
const maxMessages = 32

// everyBatch sends and receives batches of every size up to one more than the maximum. The messages in a
// batch have different numbers of buffers and descriptors.
func (w *walker) everyBatch() {
	for _, kind := range types {
		w.pair(kind.typ, func(a, b int) {
			for size := range maxMessages + 2 {
				out, in := make([]scm.Message, size), make([]scm.Message, size)
				for i := range size {
					out[i], in[i] = w.messageToSend(i%4, i%4), w.messageToReceive(i%4, i/2%4)
					for range i % 11 {
						out[i].Buffers = append(out[i].Buffers, pattern[i:i+i%5])
						in[i].Buffers = append(in[i].Buffers, w.space(i%5))
					}
				}
				w.sendBatch(a, out, 0)
				w.receiveBatchAndClose(b, in)
				w.receiveBatchAndClose(b, in) // takes the messages that the first receive left in the queue
			}
		})
	}
}

// everySocket passes a socket of each kind from one Conn to another, of each type.
func (w *walker) everySocket() {
	for _, kind := range types {
		var a, b *scm.Conn
		var err error
		network := map[string]string{"stream": "unix", "dgram": "unixgram", "seqpacket": "unixpacket"}[kind.name]
		w.call("Pair "+network, func() { a, b, err = scm.Pair(network) }, &err)
		for _, s := range []struct{ family, typ int }{
			{unix.AF_UNIX, unix.SOCK_STREAM},
			{unix.AF_UNIX, unix.SOCK_DGRAM},
			{unix.AF_UNIX, unix.SOCK_SEQPACKET},
			{unix.AF_INET, unix.SOCK_STREAM},
			{unix.AF_INET, unix.SOCK_DGRAM},
		} {
			for _, listens := range []bool{false, true} {
				fd, err := unix.Socket(s.family, s.typ|unix.SOCK_CLOEXEC, 0)
				check(err)
				// Only Unix sockets listen. A TCP socket would listen on a different port in each run.
				listens := listens && s.family == unix.AF_UNIX
				if listens {
					check(unix.Bind(fd, &unix.SockaddrUnix{Name: "listens"}))
					listens = unix.Listen(fd, 1) == nil
				}
				what := fmt.Sprintf("family %d, type %d, listens %v", s.family, s.typ, listens)
				f := os.NewFile(uintptr(fd), what)
				w.call("Conn.SendConn "+what, func() { err = a.SendConn(fdtest.AsSocket(f)) }, &err)
				w.receiveSocket("RecvConn", func() (io.Closer, error) { return b.RecvConn() })
				w.call("Conn.SendListener "+what, func() { err = a.SendListener(fdtest.AsSocket(f)) }, &err)
				w.receiveSocket("RecvListener", func() (io.Closer, error) { return b.RecvListener() })
				check(f.Close())
				_ = unix.Unlink("listens") // if it exists
			}
		}
		w.call("Close", func() { err = errors.Join(a.Close(), b.Close()) }, &err)
	}
}

// receiveSocket calls recv, which is RecvConn or RecvListener of a Conn.
func (w *walker) receiveSocket(name string, recv func() (io.Closer, error)) {
	var got io.Closer
	var err error
	w.call("Conn."+name, func() { got, err = recv() }, &err)
	if err == nil {
		fmt.Fprintf(w.out, "%T\n", got)
		check(got.Close())
	}
}
