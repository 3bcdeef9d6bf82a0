package scm

import (
	"os"
	"sync"

	"github.com/scm-rights/scm/internal/msg"
)

// SendBatch sends the messages ms through the socket sock, as Send does each, with one sendmmsg(2)
// where the system has it. It returns how many were sent, at most 32, and sets N of all. If it returns
// an error, it sent none. If n < len(ms), call again with ms[n:]: that call returns the error, if there
// is one. On a stream ms[n-1] can have gone in part, as with [Send].
//
// With cgo, SendBatch and [RecvBatch] need about 80 KiB of C stack. Threads that Go starts have it,
// unless ulimit -s is below that; a C thread that calls Go needs to.
func SendBatch(sock int, ms []Message, flags int) (n int, err error) {
	for i := range ms {
		ms[i].N = 0
	}
	b, err := newBatch(ms)
	if err != nil {
		return 0, err
	}
	defer b.put()
	ms = ms[:len(b.msgs)]
	for i := range ms {
		m, out := &ms[i], &b.msgs[i]
		out.Buffers, out.FDs, out.Unpadded = m.Buffers, m.FDs, m.Unpadded
		if m.Addr == nil && m.Cred == nil {
			continue
		}
		if out.Name, out.Cred, err = b.parts[i].outgoing(m); err != nil {
			return 0, os.NewSyscallError("sendmmsg", err)
		}
	}
	n, err = sendBatch(number(sock), b.msgs, flags)
	if err != nil {
		return 0, os.NewSyscallError("sendmmsg", err)
	}
	for i := range n {
		ms[i].N = b.msgs[i].N
	}
	return n, nil
}

// RecvBatch receives messages from the socket sock into ms, as Recv does each, with one recvmmsg(2)
// where the system has it. It returns how many it received, at most 32. An error means none.
//
// On a blocking socket Linux waits until all of ms are received: add MSG_WAITFORONE to wait for the
// first alone, which is what the other systems do. At the end of a connection the slots behind the
// last message count as received, with N and NFD 0. If an error ends a batch behind its first
// message, the next call on the socket returns that error.
//
// The FDs of different messages must not overlap, or descriptors overwrite each other and leak.
func RecvBatch(sock int, ms []Message, flags int) (n int, err error) {
	for i := range ms {
		ms[i].nothing()
	}
	b, err := newBatch(ms)
	if err != nil {
		return 0, err
	}
	defer b.put()
	for i := range b.msgs {
		m, in := &ms[i], &b.msgs[i]
		in.Buffers, in.FDs = m.Buffers, m.FDs
		in.Name, in.Cred, in.PIDFD = b.parts[i].incoming(m)
	}
	n, err = recvMany(number(sock), b.msgs, flags)
	if err != nil {
		return 0, os.NewSyscallError("recvmmsg", err)
	}
	for i := range n {
		m, in := &ms[i], &b.msgs[i]
		m.N, m.NFD, m.Flags = in.N, in.NFD, in.Flags
		if m.hasParts() {
			b.parts[i].received(m, in)
		}
	}
	return n, nil
}

// A batch is a number of messages in the form that the backends take. It is
// kept from call to call, because it is too large for a stack.
type batch struct {
	msgs  []msg.Message
	room  [msg.MaxBatch]msg.Message
	parts [msg.MaxBatch]parts
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// newBatch checks the limits of all messages, and has room for as many as one
// call takes.
func newBatch(ms []Message) (*batch, error) {
	for i := range ms {
		if err := checkLimits(&ms[i]); err != nil {
			return nil, err
		}
	}
	b := batchPool.Get().(*batch)
	b.msgs = b.room[:min(len(ms), msg.MaxBatch)]
	return b, nil
}

// put gives the batch back without a trace of what it pointed to.
func (b *batch) put() {
	clear(b.msgs)
	batchPool.Put(b)
}
