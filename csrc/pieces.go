//go:build cgo

package csrc

// #include "cgo.h"
import "C"

import "sync"

// pieces holds the buffers of a message that has more of them than the entry
// points have arguments, one behind the other: an iovec of Go pointers may not
// be passed to C, and pinning them would move every caller's buffers off the
// stack. The kernel is given the same number of buffers with the same lengths.
type pieces struct {
	bytes []byte
	len   []C.size_t
}

var piecesPool = sync.Pool{New: func() any { return new(pieces) }}

// keepBytes is the largest piece of memory that goes back to the pool.
const keepBytes = 1 << 20

func getPieces(bufs [][]byte) *pieces {
	s := piecesPool.Get().(*pieces)
	total := 0
	s.len = s.len[:0]
	for _, b := range bufs {
		s.len = append(s.len, C.size_t(len(b)))
		total += len(b)
	}
	if cap(s.bytes) < total {
		s.bytes = make([]byte, total)
	}
	s.bytes = s.bytes[:total]
	return s
}

func (s *pieces) put() {
	if cap(s.bytes) > keepBytes {
		s.bytes = nil
	}
	piecesPool.Put(s)
}

func sendPieces(sock int32, bufs [][]byte, fds []int32, flags int) (n int, err error) {
	s := getPieces(bufs)
	defer s.put()
	at := s.bytes
	for _, b := range bufs {
		at = at[copy(at, b):]
	}
	call := newCall(sock, bufs, fds, flags)
	return result(C.scm_cgo_send_pieces(&call, numbers(fds), base(s.bytes), &s.len[0]))
}

func recvPieces(sock int32, bufs [][]byte, fds []int32, flags int) (n, nfd, rflags int, err error) {
	s := getPieces(bufs)
	defer s.put()
	call := newCall(sock, bufs, fds, flags)
	n, err = result(C.scm_cgo_recv_pieces(&call, numbers(fds), base(s.bytes), &s.len[0]))
	// With MSG_TRUNC the kernel's count is the message's, not ours.
	at := s.bytes[:max(0, min(n, len(s.bytes)))]
	for _, b := range bufs {
		at = at[copy(b, at):]
	}
	return n, int(call.nfds), int(call.flags), err
}
