//go:build cgo

package csrc

// #include "cgo.h"
import "C"

import (
	"sync"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// pieces holds the buffers of messages that have more of them than the entry
// points have arguments, one behind the other: an iovec of Go pointers may not
// be passed to C, and pinning them would move every caller's buffers off the
// stack. The kernel is given the same number of buffers with the same lengths.
type pieces struct {
	bytes []byte
	len   []C.size_t

	// Of a batch alone.
	messages [msg.MaxBatch]C.struct_scm_cgo_message
	fds      [msg.MaxBatch * msg.MaxFDs]int32
	names    [msg.MaxBatch * msg.NameBytes]byte
	iov      []uintptr // where C makes its struct iovec; Go reads none of it
}

var piecesPool = sync.Pool{New: func() any { return new(pieces) }}

// keepBytes is the largest piece of memory that goes back to the pool.
const keepBytes = 1 << 20

// add makes room for the buffers of one more message.
func (s *pieces) add(bufs [][]byte) {
	total := len(s.bytes)
	for _, b := range bufs {
		s.len = append(s.len, C.size_t(len(b)))
		total += len(b)
	}
	if cap(s.bytes) < total {
		s.bytes = append(make([]byte, 0, 2*total), s.bytes...)
	}
	s.bytes = s.bytes[:total]
}

func getPieces() *pieces {
	s := piecesPool.Get().(*pieces)
	s.bytes, s.len = s.bytes[:0], s.len[:0]
	return s
}

func (s *pieces) put() {
	if cap(s.bytes) > keepBytes {
		s.bytes = nil
	}
	piecesPool.Put(s)
}

// gather copies the buffers to the beginning of at, and returns the rest of it.
func gather(at []byte, bufs [][]byte) []byte {
	for _, b := range bufs {
		at = at[copy(at, b):]
	}
	return at
}

// scatter copies the n bytes that were received at the beginning of at into the
// buffers, and returns what lies behind the room for them all.
func scatter(at []byte, bufs [][]byte, n int) []byte {
	for _, b := range bufs {
		// With MSG_TRUNC the kernel's count is the message's, not ours.
		n -= copy(b, at[:min(n, len(b))])
		at = at[len(b):]
	}
	return at
}

func callPieces(which C.int, sock int32, m *msg.Message, c *C.struct_scm_cgo_message, flags int) (n int, err error) {
	s := getPieces()
	defer s.put()
	s.add(m.Buffers)
	if which == toSend {
		gather(s.bytes, m.Buffers)
	}
	n, err = result(C.scm_cgo_one(which, C.int(sock), c, base(s.bytes), &s.len[0], numbers(m.FDs), base(m.Name), C.int(flags)))
	if which == toReceive && n > 0 {
		scatter(s.bytes, m.Buffers, n)
	}
	return n, err
}

// SendBatch is scm_send_batch: one sendmmsg of up to msg.MaxBatch messages.
func SendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return batch(toSend, sock, ms, flags)
}

// RecvBatch is scm_recv_batch: one recvmmsg of up to msg.MaxBatch messages.
func RecvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return batch(toReceive, sock, ms, flags)
}

func batch(which C.int, sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	if len(ms) == 0 {
		return 0, nil
	}
	s := getPieces()
	defer s.put()
	for i := range ms {
		m := &ms[i]
		m.Empty()
		s.messages[i] = parts(m)
		s.add(m.Buffers)
		copy(s.fds[i*msg.MaxFDs:(i+1)*msg.MaxFDs], m.FDs)
		copy(s.names[i*msg.NameBytes:(i+1)*msg.NameBytes], m.Name)
	}
	if which == toSend {
		at := s.bytes
		for i := range ms {
			at = gather(at, ms[i].Buffers)
		}
	}
	// A struct iovec is two words.
	if need := 2*len(s.len) + 2; cap(s.iov) < need {
		s.iov = make([]uintptr, 2*need)
	}
	iov := (*C.struct_iovec)(unsafe.Pointer(unsafe.SliceData(s.iov)))
	r, err := result(C.ssize_t(C.scm_cgo_batch(which, C.int(sock), &s.messages[0], C.size_t(len(ms)), iov,
		base(s.bytes), unsafe.SliceData(s.len), numbers(s.fds[:]), base(s.names[:]), C.int(flags))))
	if err != nil {
		for i := range ms {
			if which == toReceive {
				ms[i].NotReceived()
			}
		}
		return r, err
	}
	at := s.bytes
	for i := range ms {
		m, c := &ms[i], &s.messages[i]
		if i < r {
			m.N = int(c.len)
		}
		if which == toSend {
			continue
		}
		at = scatter(at, m.Buffers, m.N)
		received(m, c)
		copy(m.FDs, s.fds[i*msg.MaxFDs:][:m.NFD])
		copy(m.Name, s.names[i*msg.NameBytes:][:min(m.NameLen, msg.NameBytes)])
	}
	return r, nil
}
