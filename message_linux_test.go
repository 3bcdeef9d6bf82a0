package scm_test

import (
	"bytes"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv with MSG_PEEK returns new duplicates of the descriptors, and leaves the message in the queue", func() {
		sent := f.files(2)
		f.sends("peek", sent...)
		for range 3 {
			f.receives(8, 2, unix.MSG_PEEK, "peek", 0, sent...)
		}
		f.receives(8, 2, 0, "peek", 0, sent...)
		isEmpty(f.b)
	})

	It("Recv always passes MSG_CMSG_CLOEXEC to the kernel, and never reports it", func() {
		for _, flags := range []int{unix.MSG_CMSG_CLOEXEC, unix.MSG_CTRUNC} { // the latter has no meaning as an argument
			sent := f.file()
			f.sends("x", sent)
			f.receives(1, 1, flags, "x", 0, sent)
		}
	})
}, everyType)

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("Recv with MSG_TRUNC sets N to the length of the whole message", func() {
		for _, bufs := range [][][]byte{cut(make([]byte, 3), 3), cut(make([]byte, 9), slices.Repeat([]int{1}, 9)...)} {
			sent := f.file()
			f.sends("a long message", sent)
			m := scm.Message{Buffers: bufs, FDs: make([]int, 1)}
			Expect(scm.Recv(f.b, &m, unix.MSG_TRUNC)).To(Succeed())
			f.receivedSame(m.FDs[:m.NFD], sent)
			Expect(m.N).To(Equal(len("a long message")))
			Expect(m.Flags).To(Equal(unix.MSG_TRUNC))
			got := string(bytes.Join(bufs, nil))
			Expect(got).To(Equal("a long message"[:len(got)]))
		}
	})
}, everyPacket)
