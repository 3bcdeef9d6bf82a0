package pure

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr. Go pads it in the same way as C.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// A batch holds the arguments of sendmmsg and recvmmsg. It is pooled, because it is too
// large for a stack.
type batch struct {
	msgs    [msg.MaxBatch]mmsghdr
	control [msg.MaxBatch]control
	iov     []unix.Iovec
}

var batchPool = sync.Pool{New: func() any { return new(batch) }}

// SendBatch sends up to msg.MaxBatch messages with one sendmmsg, like scm_rights_send_batch
// in csrc.
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
	b := newBatch(ms)
	defer b.put(len(ms))
	for i := range ms {
		if len(ms[i].FDs) > 0 || ms[i].Cred != nil {
			b.putControl(i, &ms[i])
		}
	}
	sys.BeforeSend()
	n, err = b.call(unix.SYS_SENDMMSG, sock, len(ms), flags)
	for i := range max(n, 0) {
		ms[i].N = int(b.msgs[i].len)
	}
	return n, err
}

// maxWhole is SCM_MAX_WHOLE of csrc. Linux sends at most INT_MAX bytes of a message, rounded
// down to whole pages. maxWhole is not larger than that for any page size up to 1 MiB.
const maxWhole = 0x7ff00000

// together returns the number of messages that one sendmmsg may have. sendmmsg considers a
// longer message complete when maxWhole bytes of it, or a few more, are sent. On a stream it
// would then send the next message after an incomplete one.
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

// RecvBatch receives up to msg.MaxBatch messages with one recvmmsg, like
// scm_rights_recv_batch in csrc.
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
	b := newBatch(ms)
	defer b.put(len(ms))
	for i := range ms {
		if room := controlRoom(&ms[i]); room > 0 {
			hdr, buf := &b.msgs[i].hdr, b.control[i].bytes()
			clear(buf[:room])
			hdr.Control = &buf[0]
			hdr.SetControllen(room)
		}
	}
	n, err = b.call(unix.SYS_RECVMMSG, sock, len(ms), flags|unix.MSG_CMSG_CLOEXEC)
	if err == nil {
		sys.AfterReceive()
	}
	for i := range max(n, 0) {
		ms[i].N = int(b.msgs[i].len)
		received(&ms[i], &b.msgs[i].hdr, b.control[i].bytes())
	}
	// The message that ended the batch. The kernel has not started those after it.
	if i := max(n, 0); i < len(ms) {
		closeInstalled(b.control[i].bytes()[:b.msgs[i].hdr.Controllen])
	}
	return n, err
}

// newBatch returns a batch with the addresses and buffers of ms. Its control is not zeroed.
func newBatch(ms []msg.Message) *batch {
	b := batchPool.Get().(*batch)
	total := 0
	for i := range ms {
		total += len(ms[i].Buffers)
	}
	b.iov = slices.Grow(b.iov, total)[:total]
	iov := b.iov
	for i := range ms {
		m, hdr := &ms[i], &b.msgs[i].hdr
		if len(m.Name) > 0 {
			hdr.Name, hdr.Namelen = &m.Name[0], uint32(len(m.Name))
		}
		if len(m.Buffers) > 0 {
			hdr.Iov = &iov[0]
			hdr.SetIovlen(len(m.Buffers))
		}
		for j, p := range m.Buffers {
			if len(p) > 0 {
				iov[j].Base = &p[0]
			}
			iov[j].SetLen(len(p))
		}
		iov = iov[len(m.Buffers):]
	}
	return b
}

// putControl writes the control messages of m, which is message i, to a buffer that still has
// the bytes of an earlier batch. It clears the padding too, because the kernel is given it.
func (b *batch) putControl(i int, m *msg.Message) {
	buf := b.control[i].bytes()
	clear(buf[:unix.CmsgSpace(4*len(m.FDs))+unix.CmsgSpace(credBytes)])
	hdr := &b.msgs[i].hdr
	hdr.Control = &buf[0]
	hdr.SetControllen(putControl(buf, m))
}

func (b *batch) call(trap uintptr, sock int32, n, flags int) (int, error) {
	done, _, errno := unix.Syscall6(trap, uintptr(sock), uintptr(unsafe.Pointer(&b.msgs)), uintptr(n), uintptr(flags), 0, 0)
	if errno != 0 {
		return -1, failed(errno)
	}
	return int(done), nil
}

// put returns the batch to the pool, without references to the buffers of its n messages.
func (b *batch) put(n int) {
	clear(b.msgs[:n])
	clear(b.iov)
	b.iov = b.iov[:0]
	batchPool.Put(b)
}
