package recorder

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// All memory that a comparison compares must have been read. In each row, part of the second message is at the end of
// a page, before a page that cannot be read.
func TestWhole(t *testing.T) {
	needsPtrace(t)
	size := max(os.Getpagesize(), 2*4096)
	fd, err := unix.MemfdCreate("pages", unix.MFD_CLOEXEC)
	defer unix.Close(fd)
	truncated := unix.Ftruncate(fd, int64(size))
	pages, mapped := unix.Mmap(fd, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	fdtest.Must(t, errors.Join(err, truncated, mapped))
	defer func() { _ = unix.Munmap(pages) }()
	edge := func(n int) *byte { return &pages[size-n] }
	addr := func(n int) uint64 { return uint64(uintptr(unsafe.Pointer(edge(n)))) }
	payload := func(n, length int) func(*message, *Call) {
		return func(m *message, _ *Call) { m.iov[1].Base = edge(n); m.iov[1].SetLen(length) }
	}
	control := func(m *message, _ *Call) { m.hdr().Control = edge(4); m.hdr().SetControllen(8) }
	for _, c := range []struct {
		name, call string
		change     func(*message, *Call)
		length     uint32 // of the payload that was sent or received
		used, all  bool   // whole for UsedMemory and for the zero Comparison
	}{
		{"header", "sendmmsg", func(_ *message, c *Call) { c.Args[1] = addr(8) }, 8, false, false},
		{"header, EFAULT", "sendmmsg", func(_ *message, c *Call) { c.Args[1], c.Errno = addr(8), unix.EFAULT }, 8, true, true},
		{"iovec", "sendmmsg", func(m *message, _ *Call) {
			first := (*unix.Iovec)(unsafe.Pointer(edge(int(3 * wordSize))))
			*first, m.hdr().Iov = m.iov[0], first
		}, 8, false, false},
		{"payload", "sendmmsg", payload(2, 5), 8, false, false},
		{"payload after the limit", "sendmmsg", payload(4500, 5000), 5003, false, false},
		{"long payload that ends at the edge", "sendmmsg", payload(5000, 5000), 5003, true, true},
		{"address", "sendmmsg", func(m *message, _ *Call) { m.hdr().Name, m.hdr().Namelen = edge(1), 2 }, 8, false, false},
		{"msg_namelen without an address", "sendmmsg", func(m *message, _ *Call) { m.hdr().Namelen = 2 }, 8, true, true},
		{"control data", "sendmmsg", control, 8, false, false},
		{"timeout", "recvmmsg", func(_ *message, c *Call) { c.Args[timeoutAt] = addr(4) }, 8, false, false},
		{"received payload", "recvmmsg", payload(2, 5), 6, false, false},
		{"rest of a buffer", "recvmmsg", payload(2, 5), 5, true, false},
		{"message that was not received", "recvmmsg", func(m *message, c *Call) { control(m, c); c.Result = 1 }, 8, true, false},
	} {
		m, h := [2]*message{newMessage("payload0", 0), newMessage("payload1", 0)}, new([2]struct {
			unix.Msghdr
			length uint32
		})
		nr := uint64(recordable[0].syscallNumber(c.call))
		got := Call{Thread: os.Getpid(), Arch: recordable[0], Nr: nr, sig: recordable[0].calls()[nr], Result: 2}
		got.Args = []uint64{3, uint64(uintptr(unsafe.Pointer(h))), 2, 0, 0}
		c.change(m[1], &got)
		for i := range h {
			h[i].Msghdr, h[i].length = *m[i].hdr(), c.length
		}
		r := &reader{limit: 4096, sum: true}
		got.decodeEntry(r)
		got.decodeExit(r)
		runtime.KeepAlive(h)
		if used, all := UsedMemory.Whole(&got), (Comparison{}).Whole(&got); used != c.used || all != c.all {
			t.Errorf("%s of %s: got %v and %v, want %v and %v", c.name, c.call, used, all, c.used, c.all)
		}
	}
}
