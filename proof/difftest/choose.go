//go:build linux

package difftest

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// choices make a sequence. They are small, so that both a random source and the bytes of a fuzzer can make
// them.
type choices interface {
	pick(n int) int // one of 0 … n-1
}

// randomly makes choices without end.
type randomly struct{ *rand.Rand }

func (r randomly) pick(n int) int { return r.IntN(n) }

func oneOf[T any](c choices, from []T) T { return from[c.pick(len(from))] }

// oneIn is true once in n times.
func oneIn(c choices, n int) bool { return c.pick(n) == n-1 }

// The options to choose from. The first one of each list is the simplest. Frequent options are repeated.
var (
	types = []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}

	ops = []op{send, recv, send, recv, send, recv, writeFD, readFD, readFD,
		closeFD, closeFD, closeAll, setOption}
	rareOps = []op{shutdown, fill, closeAll}

	// For up to nine buffers, and for many.
	lengths     = []int{1, 0, 2, 3, 5, 8, 16, 17, 100, 1000, 4096}
	longLengths = []int{40000, 65536, 200000, 212992, 300000}
	tinyLengths = []int{1, 0, 3}

	bufferCounts = []int{1, 1, 1, 1, 2, 3, 0, 7, 8, 9, 10, 100, 1023, 1024, 1025}
	fdCounts     = []int{1, 0, 0, 2, 1, 3, 2, 4, 5, 8}
	manyFDs      = []int{253, 254, 252, 100, 127, 300}

	// The last two do not fit into an int32 if an int has 64 bits. The lower half of the last one is a file's
	// descriptor.
	hostileFDs = []int{-1, -2, -100, math.MinInt32, math.MaxInt32, 1 << 20, math.MinInt, 1<<(bits.UintSize/2) + firstFile}

	sendFlags = []int{0, 0, 0, 0, unix.MSG_NOSIGNAL, unix.MSG_DONTWAIT, unix.MSG_EOR, unix.MSG_MORE, unix.MSG_OOB,
		unix.MSG_PEEK, unix.MSG_CMSG_CLOEXEC}
	recvFlags = []int{0, 0, 0, 0, unix.MSG_PEEK, unix.MSG_DONTWAIT, unix.MSG_TRUNC, unix.MSG_PEEK | unix.MSG_TRUNC,
		unix.MSG_WAITALL, unix.MSG_OOB, unix.MSG_CTRUNC, unix.MSG_WAITFORONE, unix.MSG_CMSG_CLOEXEC, unix.MSG_ERRQUEUE}

	socketOptions = []struct {
		option int
		values []int
	}{
		{unix.SO_PASSCRED, []int{1, 0}},
		{unix.SO_PASSPIDFD, []int{1, 0}},
		{unix.SO_TIMESTAMP, []int{1, 0}},
		{unix.SO_PASSSEC, []int{1, 0}},
		{soPassrights, []int{0, 1}},
		{soInq, []int{1, 0}},
		{unix.SO_PEEK_OFF, []int{0, 1, 100, -1}},
		{unix.SO_SNDBUF, []int{0, 10000, 1 << 20}},
		{unix.SO_RCVBUF, []int{0, 1 << 20}},
		{unix.SO_TIMESTAMPNS, []int{1, 0}},
		{unix.SO_RCVLOWAT, []int{1, 100}},
	}

	nameRooms = []int{128, 0, 1, 2, 3, 16, 110, 111, 200}
)

// Options that x/sys lacks, at least on some architectures. On a kernel that lacks one too, setting it fails
// in both worlds.
const (
	soPassrights = 83
	soInq        = 84
)

// A chooser chooses steps.
type chooser struct {
	choices
	*layout
}

func (c *chooser) sequence(steps int) *sequence {
	s := &sequence{typ: oneOf(c, types), named: oneIn(c, 5)}
	for range steps {
		s.steps = append(s.steps, c.step())
	}
	return s
}

func (c *chooser) step() step {
	s := step{op: oneOf(c, ops)}
	if oneIn(c, 24) {
		s.op = oneOf(c, rareOps)
	}
	switch s.op {
	case closeFD:
		s.sock = c.closable()
	case shutdown:
		s.sock, s.value = oneOf(c, c.socks[:]), c.pick(4)
	case setOption:
		o := oneOf(c, socketOptions)
		s.sock, s.option, s.value = oneOf(c, c.socks[:]), o.option, oneOf(c, o.values)
	case fill:
		s.value = oneOf(c, []int{0, 1, 2, 3, 50})
	case closeAll:
	default:
		s.sock = c.socket()
		s.flags = c.callFlags(s.op)
		s.msg = c.message(s.op)
	}
	return s
}

// socket chooses the descriptor that a call uses as its socket. Most often it is one.
func (c *chooser) socket() int {
	switch n := c.pick(32); {
	case n < 10:
		return c.socks[0]
	case n < 22:
		return c.socks[1]
	case n < 28:
		return c.socks[2+n%2]
	case n == 28:
		return c.received()
	case n == 29:
		return c.file(c.pick(len(c.files)))
	case n == 30:
		return c.unlikely()
	default:
		return oneOf(c, hostileFDs)
	}
}

// fdToSend chooses a descriptor to send.
func (c *chooser) fdToSend() int {
	switch n := c.pick(32); {
	case n < 24:
		return c.file(c.pick(len(c.files)))
	case n < 28:
		return oneOf(c, c.socks[:])
	case n < 30:
		return c.received()
	case n == 30:
		return c.unlikely()
	default:
		return oneOf(c, hostileFDs)
	}
}

// received chooses a descriptor that a receive may have installed.
func (c *chooser) received() int { return c.first + c.pick(16) }

// unlikely chooses a descriptor that is closed unless the table is full.
func (c *chooser) unlikely() int { return c.end - 1 - c.pick(8) }

// closable chooses a descriptor to close: a socket or a received descriptor. The files stay open, because
// descriptors are identified by comparison with them.
func (c *chooser) closable() int {
	if oneIn(c, 3) {
		return oneOf(c, c.socks[:])
	}
	return c.received()
}

func (c *chooser) callFlags(o op) int {
	switch {
	case o == writeFD || o == readFD:
		return 0
	case oneIn(c, 24):
		return c.pick(1<<16)<<16 | c.pick(1<<16)
	case o.sends():
		return oneOf(c, sendFlags)
	default:
		return oneOf(c, recvFlags)
	}
}

func (c *chooser) message(o op) message {
	switch o {
	case writeFD:
		return message{buffers: c.long(c.someBuffers(1)), fds: []int{c.fdToSend()}}
	case readFD:
		return message{buffers: c.long(c.someBuffers(1))}
	case send:
		return c.outgoing()
	}
	return c.incoming()
}

func (c *chooser) outgoing() message {
	m := message{buffers: c.long(c.buffers()), fds: c.fds(), unpadded: oneIn(c, 8)}
	if oneIn(c, 8) {
		m.name = c.address()
	}
	if oneIn(c, 8) {
		m.cred = c.credentials()
	}
	m.pidfd = oneIn(c, 16)
	return m
}

func (c *chooser) incoming() message {
	m := message{buffers: c.long(c.buffers()), fds: make([]int, c.fdCount())}
	if oneIn(c, 4) {
		m.name = make([]byte, oneOf(c, nameRooms))
	}
	if oneIn(c, 4) {
		m.cred = &msg.Cred{}
	}
	m.pidfd = oneIn(c, 6)
	m.unpadded = oneIn(c, 16)
	return m
}

func (c *chooser) buffers() []int { return c.someBuffers(oneOf(c, bufferCounts)) }

// long makes one of a few buffers long, once in 16 times.
func (c *chooser) long(bufs []int) []int {
	if n := len(bufs); n > 0 && n < 4 && oneIn(c, 16) {
		bufs[c.pick(n)] = oneOf(c, longLengths)
	}
	return bufs
}

func (c *chooser) someBuffers(n int) []int {
	bufs, from := make([]int, n), lengths
	if n > 9 {
		from = tinyLengths
	}
	for i := range bufs {
		if i > 9 {
			bufs[i] = bufs[i%9]
			continue
		}
		bufs[i] = oneOf(c, from)
	}
	return bufs
}

func (c *chooser) fdCount() int {
	if oneIn(c, 24) {
		return oneOf(c, manyFDs)
	}
	return oneOf(c, fdCounts)
}

func (c *chooser) fds() []int {
	fds := make([]int, c.fdCount())
	for i := range fds {
		if i > 4 {
			fds[i] = c.file(i % len(c.files))
			continue
		}
		fds[i] = c.fdToSend()
	}
	if len(fds) > 5 && oneIn(c, 4) {
		fds[c.pick(len(fds))] = c.fdToSend()
	}
	return fds
}

// address chooses the address of a socket, an unused address, or an invalid one.
func (c *chooser) address() []byte { return oneOf(c, addresses) }

var addresses = [][]byte{
	unixAddress("a\x00"), unixAddress("b\x00"), unixAddress("c\x00"), unixAddress("d"),
	unixAddress("nobody\x00"), unixAddress("."), unixAddress("\x00nobody"), unixAddress(""),
	unixAddress("")[:1], {}, make([]byte, 16), make([]byte, 200),
	unixAddress(strings.Repeat("x", 108)), unixAddress(strings.Repeat("x", 109)),
}

func unixAddress(path string) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX), path...)
}

// credentials chooses the credentials of the process, or others, which only root may send.
func (c *chooser) credentials() *msg.Cred {
	own := *ownCredentials()
	cred := oneOf(c, []msg.Cred{
		own,
		{PID: 1},
		{PID: own.PID, UID: own.UID + 1, GID: own.GID + 2},
		{PID: own.PID, UID: own.UID, GID: math.MaxUint32},
		{PID: math.MaxInt32},
		{PID: -1, UID: math.MaxUint32, GID: math.MaxUint32},
	})
	return &cred
}
