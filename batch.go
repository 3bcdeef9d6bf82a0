package scm

import (
	"os"
	"sync"

	"github.com/scm-rights/scm/internal/msg"
)

// SendBatch sends the messages ms through the socket sock, each as [Send] does. On systems that have
// sendmmsg(2), SendBatch calls it once. It returns the number of messages sent, at most 32, and sets N in
// every message. The descriptors stay open and still belong to the caller. On a stream, only part of
// ms[n-1] may have been sent, as with Send.
//
// If n < len(ms), call SendBatch again with ms[n:]: if an error stopped the batch, that call returns it. If
// SendBatch returns an error, it sent nothing. The errors are those of Send.
//
// With cgo, SendBatch and [RecvBatch] need about 80 KiB of C stack. Threads that Go starts have that much,
// unless ulimit -s is lower. The stack of a C thread that calls Go must be that large too.
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
	n, err = sendBatch(toInt32(sock), b.msgs, flags)
	if err != nil {
		return 0, os.NewSyscallError("sendmmsg", err)
	}
	for i := range n {
		ms[i].N = b.msgs[i].N
	}
	return n, nil
}

// RecvBatch receives messages from the socket sock into ms, each as [Recv] does. On systems that have
// recvmmsg(2), RecvBatch calls it once. It returns the number of messages received, at most 32. The caller
// must close the descriptors of ms[:n]. The FDs of different messages must not overlap. Otherwise
// descriptors overwrite each other and leak.
//
// On a blocking socket, Linux waits until it has received all of ms. Pass MSG_WAITFORONE to wait only for
// the first message, as other systems do. At the end of a connection, the messages after the last one are
// counted as received, with N and NFD set to 0.
//
// If RecvBatch returns an error, it received nothing. If an error stops a batch after its first message,
// the next call on the socket returns that error. The errors are those of Recv.
func RecvBatch(sock int, ms []Message, flags int) (n int, err error) {
	for i := range ms {
		ms[i].reset()
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
	n, err = recvMany(toInt32(sock), b.msgs, flags)
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

// A batch holds messages in the form that the backends take. It is reused, because it is too large for a
// stack.
type batch struct {
	msgs    []msg.Message
	storage [msg.MaxBatch]msg.Message
	parts   [msg.MaxBatch]parts
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// newBatch checks the limits of all messages, and returns a batch for as many of them as one call takes.
func newBatch(ms []Message) (*batch, error) {
	for i := range ms {
		if err := checkLimits(&ms[i]); err != nil {
			return nil, err
		}
	}
	b := batchPool.Get().(*batch)
	b.msgs = b.storage[:min(len(ms), msg.MaxBatch)]
	return b, nil
}

// put makes the batch available again. It first clears every pointer to the caller's data.
func (b *batch) put() {
	clear(b.msgs)
	batchPool.Put(b)
}
