//go:build cgo

package csrc

// #include "scm_rights_cgo.h"
import "C"

import (
	"sync"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// lists holds the lengths of more than SCM_CGO_ARGS buffers. Their addresses are passed by
// value: cgo does not allow passing an iovec that contains Go pointers, and pinning the
// buffers would move every caller's buffers to the heap.
type lists struct {
	len []C.size_t
}

var listsPool = sync.Pool{New: func() any { return new(lists) }}

// some and many are separate because many needs a larger stack. Both contain the loop,
// because a shared helper that stores through a pointer would move every caller's buffers to
// the heap. An empty buffer has no address, as in the Go backend.
//
//go:noinline
func (s *lists) some(which C.int, sock int32, c *C.struct_scm_cgo_message, m *msg.Message, fds *C.int, flags int) C.ssize_t {
	var at C.struct_scm_cgo_some
	for i, b := range m.Buffers {
		if len(b) > 0 {
			at.p[i] = base(b)
		}
	}
	return C.scm_cgo_some(which, C.int(sock), c, at, unsafe.SliceData(s.len), fds, base(m.Name), C.int(flags))
}

// many reads at most C.SCM_MAX_IOV buffers, because the C library rejects a message with
// more.
//
//go:noinline
func (s *lists) many(which C.int, sock int32, c *C.struct_scm_cgo_message, m *msg.Message, fds *C.int, flags int) C.ssize_t {
	var at C.struct_scm_cgo_many
	for i, b := range m.Buffers[:min(len(m.Buffers), len(at.p))] {
		if len(b) > 0 {
			at.p[i] = base(b)
		}
	}
	return C.scm_cgo_many(which, C.int(sock), c, at, unsafe.SliceData(s.len), fds, base(m.Name), C.int(flags))
}

func callMany(which C.int, sock int32, m *msg.Message, c *C.struct_scm_cgo_message, fds *C.int, flags int) (n int, err error) {
	s := listsPool.Get().(*lists)
	defer listsPool.Put(s)
	s.len = s.len[:0]
	for _, b := range m.Buffers {
		s.len = append(s.len, C.size_t(len(b)))
	}
	if len(m.Buffers) > C.SCM_CGO_SOME {
		return result(s.many(which, sock, c, m, fds, flags))
	}
	return result(s.some(which, sock, c, m, fds, flags))
}
