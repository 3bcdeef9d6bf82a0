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

// operation makes one random call of WriteFD, ReadFD, Send, Recv, SendBatch or RecvBatch.
func (w *walker) operation() {
	sock := w.socks[w.pick(2)]
	if w.oneIn(24) {
		sock = oneOf(w, hostileSockets)
	}
	switch w.pick(6) {
	case 0:
		w.writeFD(sock, w.payload(oneOf(w, lengths)), w.fdToSend())
	case 1:
		w.withFullTable(func() { w.readFD(sock, w.space(oneOf(w, lengths))) })
	case 2:
		w.send(sock, w.outgoing(lengths), w.flags(sendFlags))
	case 3:
		w.withFullTable(func() { w.receive(sock, w.incoming(lengths), w.flags(recvFlags)) })
	case 4:
		ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(sendFlags)
		for i := range ms {
			ms[i] = w.outgoing(fewLengths)
		}
		w.sendBatch(sock, ms, flags)
	case 5:
		w.withFullTable(func() {
			ms, flags := make([]scm.Message, oneOf(w, batches)), w.flags(recvFlags)
			for i := range ms {
				ms[i] = w.incoming(fewLengths)
			}
			w.receiveBatch(sock, ms, flags)
		})
	}
	w.closeMostly(max(w.socks[0], w.socks[1]) + 1)
}

func (w *walker) writeFD(sock int, p []byte, fd int) {
	var n int
	var err error
	w.call(fmt.Sprintf("WriteFD %d, %d bytes, %d", sock, len(p), fd), func() { n, err = scm.WriteFD(sock, p, fd) }, &n, &err)
}

func (w *walker) readFD(sock int, p []byte) {
	var n, fd int
	var err error
	w.call(fmt.Sprintf("ReadFD %d, %d bytes", sock, len(p)), func() { n, fd, err = scm.ReadFD(sock, p) }, &n, &fd, &err, p)
}

func (w *walker) send(sock int, m scm.Message, flags int) {
	var err error
	what := fmt.Sprintf("Send %d, flags %#x, %s", sock, flags, describeMessages(m))
	w.call(what, func() { err = scm.Send(sock, &m, flags) }, &m.N, &err)
}

func (w *walker) receive(sock int, m scm.Message, flags int) {
	var err error
	what := fmt.Sprintf("Recv %d, flags %#x, %s", sock, flags, describeMessages(m))
	w.call(what, func() { err = scm.Recv(sock, &m, flags) }, &m, &err)
}

func (w *walker) sendBatch(sock int, ms []scm.Message, flags int) {
	var n int
	var err error
	what := fmt.Sprintf("SendBatch %d, flags %#x, %s", sock, flags, describeMessages(ms...))
	results := []any{&n, &err}
	for i := range ms {
		results = append(results, &ms[i].N)
	}
	w.call(what, func() { n, err = scm.SendBatch(sock, ms, flags) }, results...)
}

func (w *walker) receiveBatch(sock int, ms []scm.Message, flags int) {
	var n int
	var err error
	what := fmt.Sprintf("RecvBatch %d, flags %#x, %s", sock, flags, describeMessages(ms...))
	results := []any{&n, &err}
	for i := range ms {
		results = append(results, &ms[i])
	}
	w.call(what, func() { n, err = scm.RecvBatch(sock, ms, flags) }, results...)
}

var (
	hostileSockets = []int{-1, math.MinInt32, math.MaxInt32, 0, filler, first + 8, first + 9, last - 1}
	hostileFDs     = []int{-1, -2, math.MinInt32, math.MaxInt32, math.MaxInt32 - 1, last - 1, 1023}

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

func (w *walker) flags(list []int) int {
	if w.oneIn(16) {
		return int(w.rand.Int32())
	}
	return oneOf(w, list)
}

// fdToSend returns a descriptor to send, which is occasionally invalid. It is never a connected socket,
// because a socket in its own queue would be garbage that the kernel collects at an unpredictable time.
func (w *walker) fdToSend() int {
	if w.oneIn(16) {
		return oneOf(w, hostileFDs)
	}
	return first + w.pick(len(w.files))
}

func (w *walker) fds() []int {
	n := oneOf(w, fdCounts)
	if w.oneIn(24) {
		n = oneOf(w, manyFDs)
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i] = first + w.pick(len(w.files))
	}
	if n > 0 && w.oneIn(8) {
		fds[w.pick(n)] = w.fdToSend()
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

// payload returns n bytes to send. If n is 0, it returns nil or an empty slice at random.
func (w *walker) payload(n int) []byte {
	at := w.pick(4096)
	if n == 0 && w.oneIn(2) {
		return nil
	}
	return pattern[at : at+n : at+n]
}

// space returns a buffer of n bytes to receive into, filled with a pattern.
func (w *walker) space(n int) []byte {
	if n == 0 && w.oneIn(2) {
		return nil
	}
	if w.used+n > len(w.memory) {
		w.used = 0
	}
	p := w.memory[w.used : w.used+n : w.used+n]
	w.used += n + 1
	for i := range p {
		p[i] = 0xee
	}
	return p
}

func (w *walker) count() int {
	if w.oneIn(48) {
		return oneOf(w, []int{64, 1023, 1024, 1025})
	}
	return oneOf(w, counts)
}

// buffers returns a random number of buffers, made with the given function.
func (w *walker) buffers(lengths []int, make func(length int) []byte) (buffers [][]byte) {
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

func (w *walker) outgoing(lengths []int) scm.Message {
	m := scm.Message{FDs: w.fds(), Unpadded: w.oneIn(8)}
	m.Buffers = w.buffers(lengths, w.payload)
	if w.oneIn(10) {
		m.Addr = &net.UnixAddr{Name: oneOf(w, addresses), Net: "unixgram"}
	}
	if w.oneIn(10) {
		m.Cred = oneOf(w, []*scm.Cred{
			{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()},
			{PID: 1},
			{PID: -1, UID: -1, GID: -1},
			{PID: os.Getpid(), UID: 12345, GID: os.Getgid()},
		})
	}
	return m
}

var addresses = []string{"a", "b", "nobody", ".", "@nobody", "", strings.Repeat("x", 107), strings.Repeat("x", 108), strings.Repeat("x", 300)}

func (w *walker) incoming(lengths []int) scm.Message {
	m := scm.Message{FDs: make([]int, len(w.fds())), N: -7, NFD: -7, Flags: -7}
	m.Buffers = w.buffers(lengths, w.space)
	for i := range m.FDs {
		m.FDs[i] = -7
	}
	if w.oneIn(4) {
		m.Addr = &net.UnixAddr{Name: "stale"}
	}
	if w.oneIn(4) {
		m.Cred = &scm.Cred{PID: -7, UID: -7, GID: -7}
	}
	if w.oneIn(6) {
		n := -7
		m.PIDFD = &n
	}
	return m
}

// describeMessages describes messages before a call.
func describeMessages(ms ...scm.Message) string {
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

// describeResult describes a result of a call. For a message, it describes every field that a receive sets.
func describeResult(result any) string {
	switch r := result.(type) {
	case *int:
		return fmt.Sprint(*r)
	case *error:
		return fmt.Sprint(*r)
	case []byte:
		return hash(r)
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
		return text + " " + hash(r.Buffers...)
	}
	panic(fmt.Sprintf("unexpected result of type %T", result))
}

// hash returns a hash of the bytes in buffers.
func hash(bufs ...[]byte) string {
	h := fnv.New64a()
	for _, b := range bufs {
		_, _ = h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum64())
}
