//go:build linux

package scm_test

import (
	"bytes"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("flags", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("MSG_DONTWAIT: the buffer is full, EAGAIN, and what was refused is not sent", func() {
		f.a, f.b = f.pair(typ)
		sent, count := f.file(), 0
		m := scm.Message{Buffers: [][]byte{make([]byte, 4096)}, FDs: []int{sent}}
		var err error
		for err == nil {
			if err = scm.Send(f.a, &m, unix.MSG_DONTWAIT); err == nil {
				Expect(m.N).To(Equal(4096))
				count++
			}
		}
		Expect(err).To(MatchError(unix.EAGAIN))
		Expect(m.N).To(Equal(0))
		for range count {
			f.receives(4096, 2, unix.MSG_DONTWAIT, string(make([]byte, 4096)), 0, sent)
		}
		m = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
		Expect(scm.Recv(f.b, &m, unix.MSG_DONTWAIT)).To(MatchError(unix.EAGAIN))
	})

	It("MSG_PEEK: each one brings fresh duplicates, and leaves the message", func() {
		sent := f.files(2)
		f.sends("peek", sent...)
		for range 3 {
			f.receives(8, 2, unix.MSG_PEEK, "peek", 0, sent...)
		}
		f.receives(8, 2, 0, "peek", 0, sent...)
		isEmpty(f.b)
	})

	It("MSG_PEEK: without room nothing is lost", func() {
		CannotEmulate(fdtest.NotCut)
		sent := f.files(2)
		f.sends("peek", sent...)
		f.receives(8, 0, unix.MSG_PEEK, "peek", unix.MSG_CTRUNC)
		f.receives(8, 1, unix.MSG_PEEK, "peek", unix.MSG_CTRUNC, sent[0])
		f.receives(8, 2, 0, "peek", 0, sent...)
	})

	It("MSG_WAITALL: stops where the next descriptor begins", func() {
		f.a, f.b = f.pair(typ)
		first, second := f.file(), f.file()
		f.sends("aa", first)
		f.sends("bb", second)
		f.receives(4, 2, unix.MSG_WAITALL, "aa", 0, first)
		f.receives(2, 2, unix.MSG_WAITALL, "bb", 0, second)
	})

	It("MSG_CMSG_CLOEXEC: is always set and never told", func() {
		for _, flags := range []int{unix.MSG_CMSG_CLOEXEC, unix.MSG_CTRUNC} { // nor does it mean anything to ask for the latter
			sent := f.file()
			f.sends("x", sent)
			f.receives(1, 1, flags, "x", 0, sent)
		}
	})
}, everyType)

var _ = DescribeTableSubtree("flags on packets", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("MSG_TRUNC: told of a message that is too long, whose descriptors come whole", func() {
		sent := f.files(2)
		f.sends("too long", sent...)
		f.receives(3, 2, 0, "too", unix.MSG_TRUNC, sent...)
		isEmpty(f.b)
	})

	It("MSG_TRUNC: reported beside MSG_CTRUNC", func() {
		CannotEmulate(fdtest.NotCut)
		sent := f.files(2)
		f.sends("too long", sent...)
		f.receives(3, 1, 0, "too", unix.MSG_TRUNC|unix.MSG_CTRUNC, sent[0])
	})

	It("MSG_TRUNC: asked for, N is the length of the whole message", func() {
		for _, bufs := range [][][]byte{cut(make([]byte, 3), 3), cut(make([]byte, 9), slices.Repeat([]int{1}, 9)...)} {
			sent := f.file()
			f.sends("a long message", sent)
			m := scm.Message{Buffers: bufs, FDs: make([]int, 1)}
			Expect(scm.Recv(f.b, &m, unix.MSG_TRUNC)).To(Succeed())
			f.takes(m.FDs[:m.NFD], sent)
			Expect(m.N).To(Equal(len("a long message")))
			Expect(m.Flags).To(Equal(unix.MSG_TRUNC))
			got := string(bytes.Join(bufs, nil))
			Expect(got).To(Equal("a long message"[:len(got)]))
		}
	})

	It("MSG_OOB: is refused by the kernel", func() {
		m := scm.Message{Buffers: [][]byte{{1}}, FDs: []int{f.file()}}
		Expect(scm.Send(f.a, &m, unix.MSG_OOB)).To(MatchError(unix.EOPNOTSUPP))
		isEmpty(f.b)
	})
}, Entry("dgram", unix.SOCK_DGRAM), Entry("seqpacket", unix.SOCK_SEQPACKET))
