package scm

import (
	"os"
	"sync"

	"github.com/scm-rights/scm/internal/msg"
)

// SendBatch sends the messages ms through the socket sock, as Send does each, with
// one sendmmsg(2) where the system has it. It returns how many were sent, and sets
// N of all, to 0 of those that were not; at most 32 are sent by one call, and none
// behind a message of more than 0x7ff00000 bytes, of which Linux may send a part.
//
// If n < len(ms), call again with ms[n:]: that call returns the error, if there is
// one. No descriptor of ms[n] was sent. SendBatch checks the limits of all messages
// before it sends any. If it returns an error, it sent none.
//
// On a stream ms[n-1] can have gone in part, as with [Send]: its N is then less than
// its length. Send the rest of its bytes first, without its descriptors, which went
// with its first byte; and then ms[n:].
//
// With cgo, SendBatch and [RecvBatch] need about 80 KiB of C stack: with less the
// process ends with SIGSEGV. The threads that Go starts have more, unless the limit
// of stack size (ulimit -s) is below that. A C thread that calls Go needs to have
// it. With the tag purego they need no C stack.
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
		if b.msgs[i], err = b.parts[i].outgoing(&ms[i]); err != nil {
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

// RecvBatch receives messages from the socket sock into ms, as Recv does each, with
// one recvmmsg(2) where the system has it. It returns how many it received, at most
// 32. The descriptors of each are the caller's to close.
//
// On a blocking socket Linux waits until all of ms are received: add MSG_WAITFORONE
// to wait for the first alone, which is what the other systems do. At the end of a
// stream or seqpacket connection there is nothing to wait for: the slots behind the
// last message count as received, with N and NFD 0. An error means that none was
// received. If an error ends a batch behind its first message, the next call on the
// socket returns that error, a send too: EINTR after a signal.
//
// [SendBatch] says how much C stack a batch needs with cgo.
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
		b.msgs[i] = b.parts[i].incoming(&ms[i])
	}
	n, err = recvMany(number(sock), b.msgs, flags)
	if err != nil {
		return 0, os.NewSyscallError("recvmmsg", err)
	}
	for i := range n {
		b.parts[i].received(&ms[i], &b.msgs[i])
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
