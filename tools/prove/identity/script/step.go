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
	var n, fd int
	var err error
	sock := w.socks[w.pick(2)]
	if w.one(24) {
		sock = oneOf(w, hostileSockets)
	}
	switch w.pick(6) {
	case 0:
		p, fd := w.payload(oneOf(w, lengths)), w.number()
		w.call(fmt.Sprintf("WriteFD %d, %d bytes, %d", sock, len(p), fd), func() {
			n, err = scm.WriteFD(sock, p, fd)
		}, func() string { return fmt.Sprint(n, err) })
	case 1:
		w.full(func() {
			p := w.space(oneOf(w, lengths))
			w.call(fmt.Sprintf("ReadFD %d, %d bytes", sock, len(p)), func() {
				n, fd, err = scm.ReadFD(sock, p)
			}, func() string { return fmt.Sprint(n, fd, err, sum(p)) })
		})
	case 2:
		m, flags := w.outgoing(lengths), w.flags(sendFlags)
		w.call(fmt.Sprintf("Send %d, flags %#x, %s", sock, flags, words(&m)), func() {
			err = scm.Send(sock, &m, flags)
		}, func() string { return fmt.Sprint(m.N, err) })
	case 3:
		w.full(func() {
			m, flags := w.incoming(lengths), w.flags(recvFlags)
			w.call(fmt.Sprintf("Recv %d, flags %#x, %s", sock, flags, words(&m)), func() {
				err = scm.Recv(sock, &m, flags)
			}, func() string { return received(&m, err) })
		})
	case 4:
		ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(sendFlags)
		for i := range ms {
			ms[i] = w.outgoing(fewLengths)
		}
		w.call(fmt.Sprintf("SendBatch %d, flags %#x, %s", sock, flags, all(ms)), func() {
			n, err = scm.SendBatch(sock, ms, flags)
		}, func() string {
			text := fmt.Sprint(n, err)
			for i := range ms {
				text += fmt.Sprint(" ", ms[i].N)
			}
			return text
		})
	case 5:
		w.full(func() {
			ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(recvFlags)
			for i := range ms {
				ms[i] = w.incoming(fewLengths)
			}
			w.call(fmt.Sprintf("RecvBatch %d, flags %#x, %s", sock, flags, all(ms)), func() {
				n, err = scm.RecvBatch(sock, ms, flags)
			}, func() string {
				text := fmt.Sprint(n, err)
				for i := range ms {
					text += " " + received(&ms[i], nil)
				}
				return text
			})
		})
	}
	w.tidy(max(w.socks[0], w.socks[1]) + 1)
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

func words(m *scm.Message) string {
	text := fmt.Sprintf("%d buffers", len(m.Buffers))
	for _, b := range m.Buffers[:min(len(m.Buffers), 10)] {
		text += fmt.Sprint(" ", len(b))
	}
	text += fmt.Sprintf(", %d descriptors", len(m.FDs))
	if m.Addr != nil {
		text += fmt.Sprintf(", address %.8q", m.Addr.Name)
	}
	if m.Cred != nil {
		text += ", credentials"
	}
	if m.PIDFD != nil {
		text += ", pidfd"
	}
	if m.Unpadded {
		text += ", unpadded"
	}
	return text
}

func all(ms []scm.Message) string {
	text := fmt.Sprintf("%d messages", len(ms))
	for i := range ms {
		text += "; " + words(&ms[i])
	}
	return text
}

// received returns all that a receive has set.
func received(m *scm.Message, err error) string {
	text := fmt.Sprintf("%d %d %#x %v", m.N, m.NFD, m.Flags, err)
	text += fmt.Sprint(" ", m.FDs)
	if m.Addr != nil {
		text += fmt.Sprintf(" %q", m.Addr.Name)
	}
	if m.Cred != nil {
		cred := *m.Cred
		self := cred.PID == os.Getpid()
		if self {
			cred.PID = 0
		}
		text += fmt.Sprint(" ", cred, self)
	}
	if m.PIDFD != nil {
		text += fmt.Sprint(" ", *m.PIDFD)
	}
	return text + " " + sum(m.Buffers...)
}

// sum stands for the bytes of buffers.
func sum(bufs ...[]byte) string {
	h := fnv.New64a()
	for _, b := range bufs {
		_, _ = h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum64())
}
