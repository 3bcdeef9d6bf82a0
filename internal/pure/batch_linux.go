package pure

import (
	"sync"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr; Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A batch is what sendmmsg and recvmmsg are given. It is kept from call to
// call, because it is too large for a stack.
type batch struct {
	msgs    [msg.MaxBatch]mmsghdr
	control [msg.MaxBatch]control
	iov     []unix.Iovec
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// SendBatch is csrc's scm_rights_send_batch: one sendmmsg of up to msg.MaxBatch
// messages.
func SendBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	for i := range ms {
		ms[i].ClearResults()
	}
	for i := range ms {
		if err := check(&ms[i]); err != nil {
			return -1, err
		}
	}
	if len(ms) == 0 {
		return 0, nil
	}
	ms = ms[:together(ms)]
	b := batchPool.Get().(*batch)
	defer b.put(len(ms))
	for i := range ms {
		m, hdr := &ms[i], b.header(i, &ms[i])
		if len(m.FDs) > 0 || m.Cred != nil {
			b.control[i] = control{}
			buf := b.control[i].bytes()
			hdr.Control = &buf[0]
			hdr.SetControllen(putControl(buf, m))
		}
	}
	b.setBuffers(ms)
	sys.BeforeSend()
	n, err = b.call(unix.SYS_SENDMMSG, sock, len(ms), flags)
	for i := range max(n, 0) {
		ms[i].N = int(b.msgs[i].len)
	}
	return n, err
}

// maxWhole is SCM_MAX_WHOLE of csrc: Linux takes no more of a message than INT_MAX
// bytes, rounded down to pages; this holds for pages of up to 1 MiB.
const maxWhole = 0x7ff00000

// together is how many of the messages one sendmmsg may have. To sendmmsg a longer
// message has gone whole when maxWhole or a little more of it has: on a stream the
// next one would go behind a part.
func together(ms []msg.Message) int {
	for i := range ms {
		whole := 0
		for _, p := range ms[i].Buffers {
			if len(p) > maxWhole-whole {
				return i + 1
			}
			whole += len(p)
		}
	}
	return len(ms)
}

// RecvBatch is csrc's scm_rights_recv_batch: one recvmmsg of up to msg.MaxBatch
// messages.
func RecvBatch(sock int32, ms []msg.Message, flags int) (n int, err error) {
	ms = ms[:min(len(ms), msg.MaxBatch)]
	for i := range ms {
		ms[i].ClearReceived()
	}
	for i := range ms {
		if err := check(&ms[i]); err != nil {
			return -1, err
		}
	}
	if len(ms) == 0 {
		return 0, nil
	}
	b := batchPool.Get().(*batch)
	defer b.put(len(ms))
	for i := range ms {
		hdr := b.header(i, &ms[i])
		if room := controlRoom(&ms[i]); room > 0 {
			b.control[i] = control{}
			hdr.Control = &b.control[i].bytes()[0]
			hdr.SetControllen(room)
		}
	}
	b.setBuffers(ms)
	n, err = b.call(unix.SYS_RECVMMSG, sock, len(ms), flags|unix.MSG_CMSG_CLOEXEC)
	if err == nil {
		sys.AfterReceive()
	}
	for i := range max(n, 0) {
		ms[i].N = int(b.msgs[i].len)
		received(&ms[i], &b.msgs[i].hdr, b.control[i].bytes())
	}
	// The message that ended the batch; the kernel has not begun those behind it.
	if i := max(n, 0); i < len(ms) {
		closeInstalled(b.control[i].bytes()[:b.msgs[i].hdr.Controllen])
	}
	return n, err
}

// header clears the i-th header and gives it m's address.
func (b *batch) header(i int, m *msg.Message) *unix.Msghdr {
	b.msgs[i] = mmsghdr{}
	hdr := &b.msgs[i].hdr
	if len(m.Name) > 0 {
		hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
	}
	return hdr
}

// setBuffers gives each header its part of one iovec, which must not move after.
func (b *batch) setBuffers(ms []msg.Message) {
	b.iov = b.iov[:0]
	for i := range ms {
		for _, p := range ms[i].Buffers {
			var iov unix.Iovec
			if len(p) > 0 {
				iov.Base = &p[0]
			}
			iov.SetLen(len(p))
			b.iov = append(b.iov, iov)
		}
	}
	at := b.iov
	for i := range ms {
		n := len(ms[i].Buffers)
		if n > 0 {
			b.msgs[i].hdr.Iov = &at[0]
		}
		b.msgs[i].hdr.SetIovlen(n)
		at = at[n:]
	}
}

func (b *batch) call(trap uintptr, sock int32, n, flags int) (int, error) {
	done, _, errno := unix.Syscall6(trap, uintptr(sock), uintptr(unsafe.Pointer(&b.msgs)), uintptr(n), uintptr(flags), 0, 0)
	return result(done, errno)
}

// put gives the batch back without a trace of its n messages' buffers.
func (b *batch) put(n int) {
	clear(b.msgs[:n])
	clear(b.iov)
	batchPool.Put(b)
}
