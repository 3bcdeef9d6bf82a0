//go:build linux

package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"net"
	"os"
	"strings"

	"github.com/scm-rights/scm"
	"golang.org/x/sys/unix"
)

// step is a call of the pair, of a message or of a batch, by numbers.
func (w *world) step() {
	sock := w.socks[w.pick(2)]
	if w.one(24) {
		sock = oneOf(w, hostileSockets)
	}
	switch w.pick(6) {
	case 0:
		w.writesFD(sock, w.payload(oneOf(w, lengths)), w.number())
	case 1:
		w.full(func() { w.readsFD(sock, w.space(oneOf(w, lengths))) })
	case 2:
		w.sends(sock, w.outgoing(lengths), w.flags(sendFlags))
	case 3:
		w.full(func() { w.receives(sock, w.incoming(lengths), w.flags(recvFlags)) })
	case 4:
		ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(sendFlags)
		for i := range ms {
			ms[i] = w.outgoing(fewLengths)
		}
		w.sendsBatch(sock, ms, flags)
	case 5:
		w.full(func() {
			ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(recvFlags)
			for i := range ms {
				ms[i] = w.incoming(fewLengths)
			}
			w.receivesBatch(sock, ms, flags)
		})
	}
	w.tidy(max(w.socks[0], w.socks[1]) + 1)
}

func (w *world) writesFD(sock int, p []byte, fd int) {
	var n int
	var err error
	w.call(fmt.Sprintf("WriteFD %d, %d bytes, %d", sock, len(p), fd), func() { n, err = scm.WriteFD(sock, p, fd) }, &n, &err)
}

func (w *world) readsFD(sock int, p []byte) {
	var n, fd int
	var err error
	w.call(fmt.Sprintf("ReadFD %d, %d bytes", sock, len(p)), func() { n, fd, err = scm.ReadFD(sock, p) }, &n, &fd, &err, p)
}

func (w *world) sends(sock int, m scm.Message, flags int) {
	var err error
	what := fmt.Sprintf("Send %d, flags %#x, %s", sock, flags, words(m))
	w.call(what, func() { err = scm.Send(sock, &m, flags) }, &m.N, &err)
}

func (w *world) receives(sock int, m scm.Message, flags int) {
	var err error
	what := fmt.Sprintf("Recv %d, flags %#x, %s", sock, flags, words(m))
	w.call(what, func() { err = scm.Recv(sock, &m, flags) }, &m, &err)
}

func (w *world) sendsBatch(sock int, ms []scm.Message, flags int) {
	var n int
	var err error
	what := fmt.Sprintf("SendBatch %d, flags %#x, %s", sock, flags, words(ms...))
	results := []any{&n, &err}
	for i := range ms {
		results = append(results, &ms[i].N)
	}
	w.call(what, func() { n, err = scm.SendBatch(sock, ms, flags) }, results...)
}

func (w *world) receivesBatch(sock int, ms []scm.Message, flags int) {
	var n int
	var err error
	what := fmt.Sprintf("RecvBatch %d, flags %#x, %s", sock, flags, words(ms...))
	results := []any{&n, &err}
	for i := range ms {
		results = append(results, &ms[i])
	}
	w.call(what, func() { n, err = scm.RecvBatch(sock, ms, flags) }, results...)
}

var (
	hostileSockets = []int{-1, math.MinInt32, math.MaxInt32, 0, filler, first + 8, first + 9, last - 1}
	hostileNumbers = []int{-1, -2, math.MinInt32, math.MaxInt32, math.MaxInt32 - 1, last - 1, 1023}

	lengths    = []int{0, 1, 1, 2, 5, 16, 100, 1000, 4096}
	fewLengths = []int{0, 1, 1, 3, 20}
	counts     = []int{0, 1, 1, 1, 2, 3, 7, 8, 9, 10}
	batches    = []int{0, 1, 2, 2, 3, 4, 33}
	fdCounts   = []int{0, 0, 1, 1, 1, 2, 2, 3, 4, 5}
	manyFDs    = []int{6, 31, 32, 33, 100, 252, 253, 254, 255}

	sendFlags = []int{0, 0, unix.MSG_NOSIGNAL, unix.MSG_DONTWAIT, unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT,
		unix.MSG_EOR, unix.MSG_OOB, unix.MSG_MORE}
	recvFlags = []int{0, 0, unix.MSG_DONTWAIT, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_WAITALL,
		unix.MSG_OOB, unix.MSG_CMSG_CLOEXEC, unix.MSG_ERRQUEUE, unix.MSG_WAITFORONE}
)

func (w *world) flags(list []int) int {
	if w.one(16) {
		return int(w.rand.Int32())
	}
	return oneOf(w, list)
}

// number is a descriptor to send. No socket is among those that are open: one in
// its own queue is garbage that the kernel collects in its own time.
func (w *world) number() int {
	if w.one(16) {
		return oneOf(w, hostileNumbers)
	}
	return first + w.pick(len(w.files))
}

func (w *world) fds() []int {
	n := oneOf(w, fdCounts)
	if w.one(24) {
		n = oneOf(w, manyFDs)
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i] = first + w.pick(len(w.files))
	}
	if n > 0 && w.one(8) {
		fds[w.pick(n)] = w.number()
	}
	return fds
}

var pattern = func() []byte {
	p := make([]byte, 1<<17)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}()

// payload is bytes to send; among those of none are nil and a pointer to none.
func (w *world) payload(n int) []byte {
	at := w.pick(4096)
	if n == 0 && w.one(2) {
		return nil
	}
	return pattern[at : at+n : at+n]
}

// space is n bytes to receive into, which say that nothing came.
func (w *world) space(n int) []byte {
	if n == 0 && w.one(2) {
		return nil
	}
	if w.taken+n > len(w.room) {
		w.taken = 0
	}
	p := w.room[w.taken : w.taken+n : w.taken+n]
	w.taken += n + 1
	for i := range p {
		p[i] = 0xee
	}
	return p
}

func (w *world) count() int {
	if w.one(48) {
		return oneOf(w, []int{64, 1023, 1024, 1025})
	}
	return oneOf(w, counts)
}

// buffers makes as many buffers as a message has.
func (w *world) buffers(lengths []int, make func(length int) []byte) (buffers [][]byte) {
	n := w.count()
	if len(lengths) == len(fewLengths) {
		n = min(n, 10)
	}
	for i := range n {
		length := oneOf(w, lengths)
		if i >= 10 {
			length = i % 3
		}
		buffers = append(buffers, make(length))
	}
	return buffers
}

func (w *world) outgoing(lengths []int) scm.Message {
	m := scm.Message{FDs: w.fds(), Unpadded: w.one(8)}
	m.Buffers = w.buffers(lengths, w.payload)
	if w.one(10) {
		m.Addr = &net.UnixAddr{Name: oneOf(w, addresses), Net: "unixgram"}
	}
	if w.one(10) {
		m.Cred = oneOf(w, []*scm.Cred{
			{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()},
			{PID: 1}, {PID: -1, UID: -1, GID: -1}, {PID: os.Getpid(), UID: 12345, GID: os.Getgid()},
		})
	}
	return m
}

var addresses = []string{"a", "b", "nobody", ".", "@nobody", "", strings.Repeat("x", 107), strings.Repeat("x", 108), strings.Repeat("x", 300)}

func (w *world) incoming(lengths []int) scm.Message {
	m := scm.Message{FDs: make([]int, len(w.fds())), N: -7, NFD: -7, Flags: -7}
	m.Buffers = w.buffers(lengths, w.space)
	for i := range m.FDs {
		m.FDs[i] = -7
	}
	if w.one(4) {
		m.Addr = &net.UnixAddr{Name: "stale"}
	}
	if w.one(4) {
		m.Cred = &scm.Cred{PID: -7, UID: -7, GID: -7}
	}
	if w.one(6) {
		n := -7
		m.PIDFD = &n
	}
	return m
}

// words are what messages are before the call.
func words(ms ...scm.Message) string {
	text := fmt.Sprintf("%d messages", len(ms))
	for _, m := range ms {
		text += fmt.Sprintf("; %d buffers", len(m.Buffers))
		for _, b := range m.Buffers[:min(len(m.Buffers), 10)] {
			text += fmt.Sprint(" ", len(b))
		}
		text += fmt.Sprintf(", %d descriptors, credentials %v, pidfd %v, unpadded %v", len(m.FDs), m.Cred != nil, m.PIDFD != nil, m.Unpadded)
		if m.Addr != nil {
			text += fmt.Sprintf(", address %.8q", m.Addr.Name)
		}
	}
	return text
}

// told is a result after the call: of a message, all that a receive has set.
func told(result any) string {
	switch r := result.(type) {
	case *int:
		return fmt.Sprint(*r)
	case *error:
		return fmt.Sprint(*r)
	case []byte:
		return sum(r)
	case *scm.Message:
		text := fmt.Sprintf("%d %d %#x %v", r.N, r.NFD, r.Flags, r.FDs)
		if r.Addr != nil {
			text += fmt.Sprintf(" %q", r.Addr.Name)
		}
		if r.Cred != nil {
			cred := *r.Cred
			self := cred.PID == os.Getpid()
			if self {
				cred.PID = 0
			}
			text += fmt.Sprint(" ", cred, self)
		}
		if r.PIDFD != nil {
			text += fmt.Sprint(" ", *r.PIDFD)
		}
		return text + " " + sum(r.Buffers...)
	}
	panic(fmt.Sprintf("a result of type %T", result))
}

// sum stands for the bytes of buffers.
func sum(bufs ...[]byte) string {
	h := fnv.New64a()
	for _, b := range bufs {
		_, _ = h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum64())
}
