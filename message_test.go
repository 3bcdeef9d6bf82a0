//go:build linux

package scm_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// sends is Send of one buffer and fds, where it must send all.
func (f *fixture) sends(payload string, fds ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{[]byte(payload)}, FDs: fds}
	Expect(scm.Send(f.a, &m, 0)).To(Succeed())
	Expect(m.N).To(Equal(len(payload)), "bytes sent")
}

// receives is Recv into one buffer of size bytes, with room for so many
// descriptors; it must give the payload, the files sent, and the flags.
func (f *fixture) receives(size, room, flags int, payload string, rflags int, sent ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, size)}, FDs: make([]int, room)}
	Expect(scm.Recv(f.b, &m, flags)).To(Succeed())
	f.takes(m.FDs[:m.NFD], sent...)
	Expect(string(m.Buffers[0][:min(m.N, size)])).To(Equal(payload))
	Expect(m.Flags).To(Equal(rflags), "flags, of which MSG_CTRUNC is 0x8 and MSG_TRUNC 0x20")
}

// cut makes buffers of the given sizes out of p.
func cut(p []byte, sizes ...int) [][]byte {
	var bufs [][]byte
	for _, n := range sizes {
		bufs = append(bufs, p[:n:n])
		p = p[n:]
	}
	return bufs
}

// pattern is n bytes that differ from their neighbours.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

var _ = DescribeTableSubtree("a message", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("carries bytes only", func() {
		f.sends("hello")
		f.receives(8, 0, 0, "hello", 0)
		f.sends("hello")
		f.receives(8, 4, 0, "hello", 0)
	})

	for _, n := range []int{1, 2, 3, 4, 63, 64, 127, 128, 252, scm.MaxFDs} {
		It(fmt.Sprintf("carries %d descriptors in order", n), func() {
			sent := f.files(n)
			f.sends("x", sent...)
			f.receives(8, n, 0, "x", 0, sent...)
		})
	}

	It("carries one descriptor several times", func() {
		file := f.file()
		f.sends("x", file, file, file)
		f.receives(8, 3, 0, "x", 0, file, file, file)
	})

	It("fits into more room than it needs, and leaves the rest as it was", func() {
		sent := f.files(2)
		f.sends("x", sent...)
		m := scm.Message{Buffers: [][]byte{make([]byte, 4)}, FDs: []int{-7, -7, -7, -7}}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent...)
		Expect(m.FDs[2:]).To(Equal([]int{-7, -7}))
		Expect(m.Buffers[0]).To(Equal([]byte("x\x00\x00\x00")))
	})

	for _, c := range []struct{ sent, room int }{{1, 0}, {5, 0}, {2, 1}, {3, 1}, {3, 2}, {5, 4}, {253, 1}, {253, 252}} {
		It(fmt.Sprintf("hands over the first %d of %d descriptors and says MSG_CTRUNC", c.room, c.sent), func() {
			if c.room > 0 {
				CannotEmulate(fdtest.NotCut)
			}
			sent := f.files(c.sent)
			f.sends("x", sent...)
			f.receives(8, c.room, 0, "x", unix.MSG_CTRUNC, sent[:c.room]...)
			next := f.file()
			f.sends("y", next) // the next one is whole
			f.receives(8, 1, 0, "y", 0, next)
		})
	}

	It("says at each receive what happened at this one", func() {
		CannotEmulate(fdtest.NotCut)
		m := scm.Message{Buffers: [][]byte{make([]byte, 4)}, FDs: make([]int, 1)}
		sent := f.files(2)
		f.sends("four", sent...)
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent[0])
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

	// Up to 8 buffers, more, and the most, go different ways through both backends.
	for _, c := range []struct {
		name     string
		out, in  []int
		received []int // lengths that are filled
	}{
		{"into one", []int{3, 4, 5}, []int{12}, []int{12}},
		{"out of one", []int{12}, []int{3, 4, 5}, []int{3, 4, 5}},
		{"of other sizes", []int{5, 7}, []int{1, 10, 1}, []int{1, 10, 1}},
		{"with empty ones among them", []int{0, 6, 0, 6, 0}, []int{0, 0, 12, 0}, []int{0, 0, 12, 0}},
		{"with room left", []int{5}, []int{3, 4, 5}, []int{3, 2, 0}},
		{"of which there are 8", slices.Repeat([]int{3}, 8), slices.Repeat([]int{3}, 8), slices.Repeat([]int{3}, 8)},
		{"of which there are 9", slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9)},
		{"of which there are 9, from one", []int{27}, slices.Repeat([]int{3}, 9), slices.Repeat([]int{3}, 9)},
		{"of which there are 9, into one", slices.Repeat([]int{3}, 9), []int{27}, []int{27}},
		{"of which there are 20, of other sizes", slices.Repeat([]int{5}, 20), slices.Repeat([]int{10}, 10), slices.Repeat([]int{10}, 10)},
		{"of which there are 9, empty ones among them", []int{0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, slices.Repeat([]int{0}, 9), slices.Repeat([]int{0}, 9)},
		{"of which there are 9, with room left", []int{5}, slices.Repeat([]int{2}, 9), []int{2, 2, 1, 0, 0, 0, 0, 0, 0}},
		{"of which there are 1024", slices.Repeat([]int{2}, 1024), slices.Repeat([]int{2}, 1024), slices.Repeat([]int{2}, 1024)},
	} {
		It("gathers and scatters buffers "+c.name, func() {
			total, filled, room := sum(c.out), sum(c.received), sum(c.in)
			sent := f.files(2)
			out := scm.Message{Buffers: cut(pattern(total), c.out...), FDs: sent}
			Expect(scm.Send(f.a, &out, 0)).To(Succeed())
			Expect(out.N).To(Equal(total))

			p := bytes.Repeat([]byte{0xee}, room+1)
			in := scm.Message{Buffers: cut(p, c.in...), FDs: make([]int, 2)}
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			f.takes(in.FDs[:in.NFD], sent...)
			Expect(in.N).To(Equal(filled))
			want := append(pattern(filled), bytes.Repeat([]byte{0xee}, room+1-filled)...)
			// A plain receive fills one buffer after the other: no gap, nothing behind.
			Expect(bytes.Equal(p, want)).To(BeTrue(), "received %v", p)
		})
	}

	It("needs no buffers", func() {
		sent := f.files(2)
		m := scm.Message{FDs: sent}
		Expect(scm.Send(f.a, &m, 0)).To(Succeed())
		Expect(m.N).To(Equal(0))
		if typ == unix.SOCK_STREAM { // nothing is sent, as Linux does it
			isEmpty(f.b)
			return
		}
		CannotEmulate(fdtest.NoBuffers)
		m = scm.Message{FDs: make([]int, 2)}
		Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
		f.takes(m.FDs[:m.NFD], sent...)
	})

	It("leaves the caller's buffers and numbers alone", func() {
		payload, sent := []byte("payload"), f.files(3)
		bufs, fds := cut(payload, 3, 4), append([]int(nil), sent...)
		Expect(scm.Send(f.a, &scm.Message{Buffers: bufs, FDs: fds}, 0)).To(Succeed())
		Expect(payload).To(Equal([]byte("payload")))
		Expect(fds).To(Equal(sent))
		f.receives(8, 3, 0, "payload", 0, sent...)
	})
}, everyType)

func sum(sizes []int) int {
	total := 0
	for _, n := range sizes {
		total += n
	}
	return total
}

var _ = Describe("a message on a stream", func() {
	It("may go in part, and its descriptors go with the first byte", func() {
		f := connect(unix.SOCK_STREAM)
		Expect(unix.SetsockoptInt(f.a, unix.SOL_SOCKET, unix.SO_SNDBUF, 1)).To(Succeed())
		sent := f.files(3)
		payload := pattern(1 << 20)
		m := scm.Message{Buffers: [][]byte{payload}, FDs: sent}
		Expect(scm.Send(f.a, &m, 0)).To(Succeed())
		Expect(m.N).To(And(BeNumerically(">", 0), BeNumerically("<", len(payload))))

		var got []byte
		for first := true; len(got) < m.N; first = false {
			in := scm.Message{Buffers: [][]byte{make([]byte, 1000)}, FDs: make([]int, 4)}
			Expect(scm.Recv(f.b, &in, 0)).To(Succeed())
			if first {
				f.takes(in.FDs[:in.NFD], sent...)
			} else {
				f.takes(in.FDs[:in.NFD])
			}
			got = append(got, in.Buffers[0][:in.N]...)
		}
		Expect(bytes.Equal(got, payload[:m.N])).To(BeTrue())
		isEmpty(f.b)
	})
})

var _ = Describe("bytes that the kernel counts and does not write", func() {
	const secret = "SECRETSECRET"

	for _, n := range []int{1, 8, 9, 64, 65, scm.MaxBuffers} {
		It(fmt.Sprintf("are not in the caller's %d buffers", n), func() {
			one, other := tcpPair()
			blocking := func(c net.Conn) int {
				file, err := c.(*net.TCPConn).File()
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(file.Close)
				return int(file.Fd())
			}
			a, b := blocking(one), blocking(other)
			buffers := func(content byte) [][]byte {
				bufs := make([][]byte, n)
				for i := range bufs {
					bufs[i] = bytes.Repeat([]byte{content}, len(secret))
				}
				return bufs
			}
			for _, call := range []func(m *scm.Message, flags int) error{
				func(m *scm.Message, flags int) error {
					if flags == 0 {
						return scm.Send(a, m, 0)
					}
					return scm.Recv(b, m, flags)
				},
				func(m *scm.Message, flags int) error {
					ms := []scm.Message{*m}
					var err error
					if flags == 0 {
						_, err = scm.SendBatch(a, ms, 0)
					} else {
						_, err = scm.RecvBatch(b, ms, flags)
					}
					m.N = ms[0].N
					return err
				},
			} {
				out := scm.Message{Buffers: buffers('-')}
				out.Buffers[0] = []byte(secret)
				Expect(call(&out, 0)).To(Succeed())
				for i := range out.Buffers {
					clear(out.Buffers[i])
				}
				in := scm.Message{Buffers: buffers('+')}
				Expect(call(&in, unix.MSG_TRUNC|unix.MSG_WAITALL)).To(Succeed())
				Expect(in.N).To(BeNumerically(">", 0))
				Expect(in.Buffers).To(Equal(buffers('+')))
				// A stream may be counted in parts.
				for left := out.N - in.N; left > 0; {
					drained, err := unix.Read(b, make([]byte, left))
					Expect(err).NotTo(HaveOccurred())
					left -= drained
				}
			}
		})
	}
})

var _ = Describe("a large room", func() {
	for _, batch := range []bool{false, true} {
		for _, n := range []int{9, 65, scm.MaxBuffers} {
			It(fmt.Sprintf("of %d buffers takes no memory beside the caller's, batch: %v", n, batch), func() {
				f := connect(unix.SOCK_STREAM)
				room := make([][]byte, n)
				shared := make([]byte, 144<<20/n)
				for i := range room {
					room[i] = shared
				}
				f.sends("x")
				ms := []scm.Message{{Buffers: room}}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var err error
				if batch {
					_, err = scm.RecvBatch(f.b, ms, unix.MSG_WAITFORONE)
				} else {
					err = scm.Recv(f.b, &ms[0], 0)
				}
				runtime.ReadMemStats(&after)
				Expect(err).NotTo(HaveOccurred())
				Expect([]any{ms[0].N, shared[0]}).To(Equal([]any{1, byte('x')}))
				Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 4<<20), "bytes")
			})
		}
	}
})
