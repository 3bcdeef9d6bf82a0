//go:build unix && !aix

package scm_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// sends sends one buffer and fds. Send must send all of it.
func (f *fixture) sends(payload string, fds ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{[]byte(payload)}, FDs: fds}
	Expect(scm.Send(f.a, &m, 0)).To(Succeed())
	Expect(m.N).To(Equal(len(payload)), "bytes sent")
}

// receives receives into one buffer of size bytes, with a capacity of room descriptors. Recv must return the
// payload, the files sent, and the flags.
func (f *fixture) receives(size, room, flags int, payload string, rflags int, sent ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, size)}, FDs: make([]int, room)}
	Expect(scm.Recv(f.b, &m, flags)).To(Succeed())
	f.receivedSame(m.FDs[:m.NFD], sent...)
	Expect(string(m.Buffers[0][:min(m.N, size)])).To(Equal(payload))
	Expect(m.Flags).To(Equal(rflags), "flags, of which MSG_CTRUNC is %#x and MSG_TRUNC %#x", unix.MSG_CTRUNC, unix.MSG_TRUNC)
}

// cut splits p into buffers of the given sizes.
func cut(p []byte, sizes ...int) [][]byte {
	var bufs [][]byte
	for _, n := range sizes {
		bufs = append(bufs, p[:n:n])
		p = p[n:]
	}
	return bufs
}

// pattern returns n bytes of which no two adjacent ones are equal.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Send and Recv pass bytes without descriptors", func() {
		f.sends("hello")
		f.receives(8, 0, 0, "hello", 0)
		f.sends("hello")
		f.receives(8, 4, 0, "hello", 0)
	})

	for _, n := range []int{1, 2, 3, 4, 8, 9, 63, 64, 127, 128, 252, scm.MaxFDs} {
		It("Send and Recv pass "+Count(n, "descriptor")+" in order", func() {
			sent := f.files(n)
			f.sends("x", sent...)
			f.receives(8, n, 0, "x", 0, sent...)
		})
	}

	It("Recv leaves the unused part of buffers and FDs unchanged", func() {
		sent := f.files(2)
		f.sends("x", sent...)
		m := scm.Message{Buffers: [][]byte{make([]byte, 4)}, FDs: []int{-7, -7, -7, -7}}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], sent...)
		Expect(m.FDs[2:]).To(Equal([]int{-7, -7}))
		Expect(m.Buffers[0]).To(Equal([]byte("x\x00\x00\x00")))
	})

	for _, c := range []struct{ sent, room int }{{1, 0}, {5, 0}, {2, 1}, {3, 1}, {3, 2}, {5, 4}, {253, 1}, {253, 252}} {
		It(fmt.Sprintf("Recv with capacity for %d of %s sets MSG_CTRUNC, and closes the rest", c.room, Count(c.sent, "descriptor")), func() {
			if c.room > 0 {
				CannotEmulate(fdtest.NotCut)
			}
			sent := f.files(c.sent)
			f.sends("x", sent...)
			f.receives(8, c.room, 0, "x", unix.MSG_CTRUNC, sent[:c.room]...)
			next := f.file()
			f.sends("y", next) // the next message is complete
			f.receives(8, 1, 0, "y", 0, next)
		})
	}

	It("Recv with MSG_PEEK returns the payload, and on Linux the descriptors too", func() {
		sent := f.file()
		f.sends("x", sent)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 4)}
		Expect(scm.Recv(f.b, &m, unix.MSG_PEEK)).To(Succeed())
		Expect([]any{string(m.Buffers[0]), m.N, m.Truncated()}).To(Equal([]any{"x", 1, false}))
		if runtime.GOOS == "linux" {
			f.receivedSame(m.FDs[:m.NFD], sent)
		} else {
			Expect(m.NFD).To(BeZero())
		}
		f.receives(1, 4, 0, "x", 0, sent)
	})

	It("ReadFD reports the descriptor that a full descriptor table lost", func() {
		p := make([]byte, 1)
		f.sends("x", f.file())
		var limit unix.Rlimit
		Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
		Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: limit.Max})).To(Succeed())
		err := Third(scm.ReadFD(f.b, p))
		Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
		lost := errorOf[*scm.TruncatedError](err)
		if runtime.GOOS != "linux" {
			Expect(lost).To(MatchError(unix.EMFILE))
			if typ == unix.SOCK_STREAM { // the byte is still queued
				Expect(unix.Read(f.b, p)).To(Equal(1))
			}
		}
		isEmpty(f.b)
	})

	It("Recv overwrites the results of an earlier receive", func() {
		CannotEmulate(fdtest.NotCut)
		m := scm.Message{Buffers: [][]byte{make([]byte, 4)}, FDs: make([]int, 1)}
		sent := f.files(2)
		f.sends("four", sent...)
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.receivedSame(m.FDs[:m.NFD], sent[0])
		Expect([]int{m.N, m.Flags}).To(Equal([]int{4, unix.MSG_CTRUNC}))

		f.sends("x")
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{1, 0, 0}))

		m.N, m.NFD, m.Flags = 7, 7, 7
		Expect(scm.Recv(f.b, &m, 0)).To(MatchError(unix.EAGAIN))
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}), "N, NFD and Flags after an error")

		m.N, m.NFD, m.Flags = 7, 7, 7
		Expect(scm.Send(-1, &m, 0)).To(MatchError(unix.EBADF))
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 7, 7}), "N, NFD and Flags after an error of Send")
	})

	// Both backends have separate code for up to 8 buffers, for more, and for the maximum.
	for _, c := range []struct {
		name     string
		out, in  []int
		received []int // the filled lengths
	}{
		{"3 buffers into 1", []int{3, 4, 5}, []int{12}, []int{12}},
		{"1 buffer into 3", []int{12}, []int{3, 4, 5}, []int{3, 4, 5}},
		{"2 buffers into 3 of different sizes", []int{5, 7}, []int{1, 10, 1}, []int{1, 10, 1}},
		{"5 buffers into 4, with empty ones among them", []int{0, 6, 0, 6, 0}, []int{0, 0, 12, 0}, []int{0, 0, 12, 0}},
		{"1 buffer into 3, with space left over", []int{5}, []int{3, 4, 5}, []int{3, 2, 0}},
		{"8 buffers into 8", slices.Repeat([]int{3}, 8), slices.Repeat([]int{3}, 8), slices.Repeat([]int{3}, 8)},
		{"9 buffers into 9", slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9)},
		{"1 buffer into 9", []int{27}, slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9)},
		{"9 buffers into 1", slices.Repeat([]int{3}, 9), []int{27}, []int{27}},
		{"20 buffers into 10", slices.Repeat([]int{5}, 20), slices.Repeat([]int{10}, 10), slices.Repeat([]int{10}, 10)},
		{"10 buffers into 9 empty ones", []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, slices.Repeat([]int{0}, 9), slices.Repeat([]int{0}, 9)},
		{"1 buffer into 9, with space left over", []int{5}, slices.Repeat([]int{2}, 9), []int{2, 2, 1, 0, 0, 0, 0, 0, 0}},
		{"1024 buffers into 1024", slices.Repeat([]int{2}, 1024), slices.Repeat([]int{2}, 1024), slices.Repeat([]int{2}, 1024)},
	} {
		It("Send and Recv pass a payload from "+c.name, func() {
			total, filled, room := sum(c.out), sum(c.received), sum(c.in)
			if room == 0 {
				needsEmpty()
			}
			sent := f.files(2)
			out := scm.Message{Buffers: cut(pattern(total), c.out...), FDs: sent}
			Expect(scm.Send(f.a, &out, 0)).To(Succeed())
			Expect(out.N).To(Equal(total))

			p := bytes.Repeat([]byte{0xee}, room+1)
			in := scm.Message{Buffers: cut(p, c.in...), FDs: make([]int, 2)}
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			f.receivedSame(in.FDs[:in.NFD], sent...)
			Expect(in.N).To(Equal(filled))
			Expect(in.Flags&unix.MSG_TRUNC != 0).To(Equal(filled < total && typ != unix.SOCK_STREAM), "MSG_TRUNC")
			want := append(pattern(filled), bytes.Repeat([]byte{0xee}, room+1-filled)...)
			// A plain receive fills one buffer after the other, without gaps, and writes nothing after the payload.
			Expect(bytes.Equal(p, want)).To(BeTrue(), "received %v", p)
		})
	}

	for _, c := range []struct {
		what            string
		buffers, fds    int
		sentinel, errno error
	}{
		{"ErrTooManyFDs for 254 descriptors", 1, scm.MaxFDs + 1, scm.ErrTooManyFDs, unix.EINVAL},
		{"ErrTooManyBuffers for 1025 buffers", scm.MaxBuffers + 1, 1, scm.ErrTooManyBuffers, unix.EMSGSIZE},
		{"ErrTooManyFDs for 1025 buffers and 254 descriptors", scm.MaxBuffers + 1, scm.MaxFDs + 1, scm.ErrTooManyFDs, unix.EINVAL},
	} {
		It("Send and Recv return "+c.what+" before any system call, and lose nothing", func() {
			for _, sock := range []int{-1, f.a} { // the kernel would return EBADF for -1
				m := scm.Message{Buffers: make([][]byte, c.buffers), FDs: make([]int, c.fds), N: 7}
				m.Buffers[0] = []byte("x")
				beLimit(scm.Send(sock, &m, 0), c.sentinel, c.errno)
				Expect(m.N).To(BeZero())
			}
			isEmpty(f.b)

			sent := f.file()
			f.sends("x", sent)
			for _, sock := range []int{-1, f.b} {
				m := scm.Message{Buffers: make([][]byte, c.buffers), FDs: make([]int, c.fds), N: 7, NFD: 7, Flags: 7}
				m.Buffers[0] = make([]byte, 1)
				beLimit(scm.Recv(sock, &m, 0), c.sentinel, c.errno)
				Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
			}
			f.receives(1, 1, 0, "x", 0, sent)
		})
	}

	It("Send and Recv pass a message that is exactly at the limits on to the kernel", func() {
		m := scm.Message{Buffers: make([][]byte, scm.MaxBuffers), FDs: make([]int, scm.MaxFDs)}
		Expect(scm.Send(-1, &m, 0)).To(MatchError(unix.EBADF))
		Expect(scm.Recv(-1, &m, 0)).To(MatchError(unix.EBADF))
	})
}, everyType)

func sum(sizes []int) int {
	total := 0
	for _, n := range sizes {
		total += n
	}
	return total
}

// beLimit checks that err is the sentinel of a limit, wraps its errno, and is not the error of a system call.
func beLimit(err, sentinel, errno error) {
	GinkgoHelper()
	Expect(err).To(BeIdenticalTo(sentinel))
	Expect(err).To(MatchError(errno))
	var call *os.SyscallError
	Expect(errors.As(err, &call)).To(BeFalse(), "%v comes from a system call", err)
	Expect(err.Error()).To(HavePrefix("scm: more than "))
}

var _ = It("a receive reports a directory outside the receiver's root that the kernel dropped", func() {
	fdtest.NeedRoot(GinkgoTB(), "call chroot(2)")
	RunChild(ChildCommand("chroot"))
})

var _ = Child("chroot", func([]string) {
	a, b := both(scm.Pair("unix"))
	dir := ok(os.Open("/"))
	Expect(unix.Chroot(os.TempDir())).To(Succeed())
	Expect(a.WriteFiles([]byte("x"), dir)).To(Equal(1))
	err := Third(b.ReadFiles(make([]byte, 1), 1))
	switch runtime.GOOS {
	case "netbsd", "openbsd":
		Expect(errorOf[*scm.TruncatedError](err)).To(MatchError(unix.EPERM))
	default:
		Expect(err).NotTo(HaveOccurred())
	}
})
