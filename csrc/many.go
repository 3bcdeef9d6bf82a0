//go:build cgo

package csrc

// #include "scm_rights_cgo.h"
import "C"

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
)

// lists holds the data for a call with more than SCM_CGO_ARGS buffers, except the addresses
// of the buffers. The addresses are passed by value: cgo does not allow passing an iovec that
// contains Go pointers, and pinning the buffers would move every caller's buffers to the
// heap.
type lists struct {
	len []C.size_t

	// The rest is used only for a batch.
	messages [msg.MaxBatch]C.struct_scm_cgo_message
	fds      [msg.MaxBatch * msg.MaxFDs]C.int
	names    [msg.MaxBatch * msg.NameBytes]byte
}

var listsPool = sync.Pool{New: func() any { return new(lists) }}

func getLists() *lists {
	s := listsPool.Get().(*lists)
	s.len = s.len[:0]
	return s
}

func (s *lists) add(bufs [][]byte) {
	for _, b := range bufs {
		s.len = append(s.len, C.size_t(len(b)))
	}
}

// listed makes a call with up to C.SCM_MAX_IOV buffers. batch is the number of messages, or 0
// for a single message outside a batch.
func (s *lists) listed(which C.int, sock int32, c *C.struct_scm_cgo_message, ms []msg.Message, batch int, fds *C.int, names *C.char, flags int) C.ssize_t {
	if len(s.len) <= C.SCM_CGO_SOME {
		return s.some(which, sock, c, ms, batch, fds, names, flags)
	}
	return s.many(which, sock, c, ms, batch, fds, names, flags)
}

// some and many are separate because many needs a larger stack. Both contain the loop,
// because a shared helper that stores through a pointer would move every caller's buffers to
// the heap. An empty buffer has no address, as in the Go backend.
//
//go:noinline
func (s *lists) some(which C.int, sock int32, c *C.struct_scm_cgo_message, ms []msg.Message, batch int, fds *C.int, names *C.char, flags int) C.ssize_t {
	var at C.struct_scm_cgo_some
	i := 0
	for j := range ms {
		for _, b := range ms[j].Buffers {
			if len(b) > 0 {
				at.p[i] = base(b)
			}
			i++
		}
	}
	return C.scm_cgo_some(which, C.int(sock), c, C.size_t(batch), at,
		unsafe.SliceData(s.len), C.size_t(len(s.len)), fds, names, C.int(flags))
}

// many reads at most C.SCM_MAX_IOV buffers, because the C library rejects a message with
// more.
//
//go:noinline
func (s *lists) many(which C.int, sock int32, c *C.struct_scm_cgo_message, ms []msg.Message, batch int, fds *C.int, names *C.char, flags int) C.ssize_t {
	var at C.struct_scm_cgo_many
	i := 0
	for j := range ms {
		for _, b := range ms[j].Buffers {
			if i < len(at.p) && len(b) > 0 {
				at.p[i] = base(b)
			}
			i++
		}
	}
	return C.scm_cgo_many(which, C.int(sock), c, C.size_t(batch), at,
		unsafe.SliceData(s.len), C.size_t(min(len(s.len), len(at.p))), fds, names, C.int(flags))
}

// pinned makes a call for a batch with any number of buffers.
func (s *lists) pinned(which C.int, sock int32, ms []msg.Message, flags int) C.ssize_t {
	var pin runtime.Pinner
	defer pin.Unpin()
	iov := make([]C.struct_iovec, len(s.len))
	i := 0
	for j := range ms {
		for _, b := range ms[j].Buffers {
			if len(b) > 0 {
				pin.Pin(unsafe.SliceData(b))
				iov[i].iov_base = unsafe.Pointer(unsafe.SliceData(b))
				iov[i].iov_len = s.len[i]
			}
			i++
		}
	}
	return C.scm_cgo_pinned(which, C.int(sock), &s.messages[0], C.size_t(len(ms)),
		(*C.char)(unsafe.Pointer(unsafe.SliceData(iov))), &s.fds[0], base(s.names[:]), C.int(flags))
}

func callMany(which C.int, sock int32, m *msg.Message, c *C.struct_scm_cgo_message, fds *C.int, flags int) (n int, err error) {
	s := getLists()
	defer listsPool.Put(s)
	s.add(m.Buffers)
	return result(s.listed(which, sock, c, unsafe.Slice(m, 1), 0, fds, base(m.Name), flags))
}

// SendBatch calls scm_rights_send_batch, which sends up to msg.MaxBatch messages with a
// single sendmmsg(2) call.
func SendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return batch(toSend, sock, ms, flags)
}

// RecvBatch calls scm_rights_recv_batch, which receives up to msg.MaxBatch messages with a
// single recvmmsg(2) call.
func RecvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	return batch(toReceive, sock, ms, flags)
}

func batch(which C.int, sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	if len(ms) == 0 {
		return 0, nil
	}
	s := getLists()
	defer listsPool.Put(s)
	for i := range ms {
		m := &ms[i]
		m.ClearResults()
		setParts(&s.messages[i], m)
		s.add(m.Buffers)
		for j, fd := range m.FDs[:min(len(m.FDs), msg.MaxFDs)] {
			s.fds[i*msg.MaxFDs+j] = C.int(msg.Number(fd))
		}
		if len(m.Name) > 0 {
			copy(s.names[i*msg.NameBytes:(i+1)*msg.NameBytes], m.Name)
		}
	}
	var r int
	if len(s.len) <= msg.MaxBuffers {
		r, err = result(s.listed(which, sock, &s.messages[0], ms, len(ms), &s.fds[0], base(s.names[:]), flags))
	} else {
		r, err = result(s.pinned(which, sock, ms, flags))
	}
	if err != nil {
		for i := range ms {
			if which == toReceive {
				ms[i].ClearReceived()
			}
		}
		return r, err
	}
	for i := range ms {
		m, c := &ms[i], &s.messages[i]
		if i < r {
			m.N = int(c.len)
		}
		if which == toSend {
			continue
		}
		received(m, c, s.fds[i*msg.MaxFDs:])
		if len(m.Name) > 0 {
			copy(m.Name, s.names[i*msg.NameBytes:][:min(m.NameLen, msg.NameBytes)])
		}
	}
	return r, nil
}
