//go:build linux

package difftest

import (
	"iter"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// everySize returns the sequences of every size that docs/trust.md lists. Most of them send from socket a to socket
// b.
func (l *layout) everySize() iter.Seq[*sequence] {
	return func(yield func(*sequence) bool) {
		for _, list := range []func() []*sequence{
			l.everyCount, l.everyBuffers, l.everyLength, l.everyFlag, l.everyBit, l.everyAddress,
		} {
			for _, s := range list() {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// mostFDs passes the maximum number of descriptors.
func (l *layout) mostFDs() *sequence {
	return &sequence{typ: unix.SOCK_STREAM, steps: l.pass(0, l.toSend(msg.MaxFDs, 0), toReceive(msg.MaxFDs, 0))}
}

// pass sends one message and receives another one.
func (l *layout) pass(flags int, out, in message) []step {
	return slices.Concat([]step{{op: send, sock: l.socks[0], msg: out, flags: flags}}, l.take(flags, in))
}

// take receives a message, and closes its descriptors.
func (l *layout) take(flags int, in message) []step {
	return []step{{op: recv, sock: l.socks[1], msg: in, flags: flags}, {op: closeAll}}
}

// toSend returns a message with n descriptors, in an order that depends on n. If kind&1 is set, the message is
// unpadded. If kind&2 is set, it contains credentials.
func (l *layout) toSend(n, kind int) message {
	m := message{buffers: []int{1}, unpadded: kind&1 != 0}
	for i := range n {
		m.fds = append(m.fds, l.file((7*i+n)%len(l.files)))
	}
	if kind&2 != 0 {
		m.cred = ownCredentials()
		if m.cred.UID == 0 { // root can claim to be a user and group with different numbers
			m.cred.UID, m.cred.GID = 1, 2
		}
	}
	return m
}

func ownCredentials() *msg.Cred {
	return &msg.Cred{PID: int32(os.Getpid()), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
}

// toReceive returns a message that can receive n descriptors. If kind&1 is set, it can also receive a pidfd. If kind&2
// is set, it can also receive credentials.
func toReceive(n, kind int) message {
	m := message{buffers: []int{2}, fds: make([]int, n), pidfd: kind&1 != 0}
	if kind&2 != 0 {
		m.cred = &msg.Cred{}
	}
	return m
}

// everyCount passes every number of descriptors up to one more than the maximum, with and without credentials, and with
// and without padding. The receiver has space for exactly as many descriptors, for one fewer or for one more.
func (l *layout) everyCount() (list []*sequence) {
	for n := range msg.MaxFDs + 2 {
		s := &sequence{typ: unix.SOCK_SEQPACKET}
		for kind := range 4 {
			capacity := min(max(n+[]int{0, 0, -1, 1}[(n+kind)%4], 0), msg.MaxFDs+1)
			s.add(step{op: setOption, sock: l.socks[1], option: unix.SO_PASSCRED, value: kind >> 1})
			s.add(l.pass(0, l.toSend(n, kind), toReceive(capacity, kind))...)
		}
		s.add(step{op: setOption, sock: l.socks[1], option: unix.SO_PASSCRED})
		s.add(l.take(0, toReceive(n, 0))...) // the message that a rejected receive left in the queue
		list = append(list, s)
	}
	return list
}

// near returns all integers below small, and those next to the powers of two up to the limit.
func near(small, limit int) (list []int) {
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

func (l *layout) everyBuffers() []*sequence {
	s := &sequence{typ: unix.SOCK_SEQPACKET}
	for _, n := range near(41, msg.MaxBuffers) {
		out, in := l.toSend(n%2, 0), toReceive(n%2, 0)
		out.buffers, in.buffers = make([]int, n), make([]int, n)
		for i := range n {
			out.buffers[i], in.buffers[i] = i%3, i%4
		}
		s.add(l.pass(0, out, in)...)
	}
	return []*sequence{s}
}

func (l *layout) everyLength() (list []*sequence) {
	for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		s := &sequence{typ: typ}
		for _, length := range near(300, 1<<16) {
			buffers := []int{length}
			s.add(
				step{op: writeFD, sock: l.socks[0], msg: message{buffers: buffers, fds: []int{l.file(length % len(l.files))}}},
				step{op: readFD, sock: l.socks[1], msg: message{buffers: buffers}},
				step{op: closeAll},
			)
			out, in := l.toSend(1, 0), toReceive(1, 0)
			out.buffers, in.buffers = buffers, buffers
			s.add(l.pass(0, out, in)...)
		}
		list = append(list, s)
	}
	return list
}

// everyFlag passes each bit of the flags alone, on each type of socket.
func (l *layout) everyFlag() (list []*sequence) {
	for _, typ := range types {
		for bit := range 32 {
			flag := int(int32(uint32(1) << bit))
			s := &sequence{typ: typ, steps: l.pass(flag, l.toSend(1, 0), toReceive(1, 0))}
			s.add(step{op: send, sock: l.socks[0], msg: l.toSend(2, 0)})
			s.add(l.take(flag, toReceive(1, 0))...)
			list = append(list, s)
		}
	}
	return list
}

// noProcess is greater than every process ID: PID_MAX_LIMIT of the kernel.
const noProcess = 1 << 22

// everyBit sends a descriptor with each single bit, and credentials with each single bit in each field.
func (l *layout) everyBit() []*sequence {
	s := &sequence{typ: unix.SOCK_SEQPACKET}
	for bit := range 32 {
		value := uint32(1) << bit
		out, in := l.toSend(1, 0), toReceive(1, 0)
		out.fds[0] = int(int32(value))
		s.add(l.pass(0, out, in)...)
		s.add(step{op: writeFD, sock: l.socks[0], msg: message{buffers: []int{1}, fds: out.fds}})
		s.add(l.take(0, in)...)
		own := *ownCredentials()
		for _, cred := range []msg.Cred{
			{PID: int32(value | noProcess), UID: own.UID, GID: own.GID},
			{PID: own.PID, UID: value, GID: own.GID},
			{PID: own.PID, UID: own.UID, GID: value},
		} {
			out := l.toSend(0, 0)
			out.cred = &cred
			s.add(l.pass(0, out, in)...)
		}
	}
	for _, sock := range []int{-1, math.MinInt32, math.MaxInt32, math.MinInt, math.MaxInt} {
		s.add(step{op: send, sock: sock, msg: l.toSend(1, 0)})
		s.add(step{op: recv, sock: sock, msg: toReceive(1, 0)})
	}
	return []*sequence{s}
}

// everyAddress sends to and receives from an address of every possible length, and one that is too long. The sender's
// address has the same length, if x/sys can bind to it.
func (l *layout) everyAddress() (list []*sequence) {
	for n := 1; n <= 109; n++ {
		for _, abstract := range []bool{false, true} {
			name := func(char string) []byte {
				if abstract {
					return unixAddress("\x00" + strings.Repeat(char, n-1))
				}
				return unixAddress(strings.Repeat(char, n))
			}
			s := &sequence{typ: unix.SOCK_DGRAM}
			if n < 108 {
				s.add(step{op: bind, sock: l.socks[0], msg: message{name: name("x")}})
				s.add(step{op: bind, sock: l.socks[1], msg: message{name: name("y")}})
			}
			out, in := l.toSend(1, 0), toReceive(1, 0)
			out.name, in.name = name("y"), make([]byte, msg.NameBytes)
			s.add(l.pass(0, out, in)...)
			list = append(list, s)
		}
	}
	return list
}
