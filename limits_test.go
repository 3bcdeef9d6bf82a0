//go:build linux

package scm_test

import (
	"errors"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// beLimit matches a limit that was found before any system call: it is the
// sentinel and its errno, and not what a system call said.
func beLimit(err, sentinel, errno error) {
	GinkgoHelper()
	Expect(err).To(BeIdenticalTo(sentinel))
	Expect(errors.Is(err, errno)).To(BeTrue(), "%v is not %v", err, errno)
	var call *os.SyscallError
	Expect(errors.As(err, &call)).To(BeFalse(), "%v comes from a system call", err)
	Expect(err.Error()).To(HavePrefix("scm: more than "))
}

var _ = DescribeTableSubtree("limits", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	// A socket of -1 is EBADF to the kernel: it was not asked.
	It("254 descriptors are ErrTooManyFDs before any system call", func() {
		m := scm.Message{Buffers: [][]byte{{1}}, FDs: f.files(scm.MaxFDs + 1), N: 7}
		beLimit(scm.Send(-1, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
		beLimit(scm.Send(f.a, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
		Expect(m.N).To(Equal(0))
		isEmpty(f.b)
	})

	It("room for 254 descriptors is ErrTooManyFDs before any system call, and nothing is lost", func() {
		sent := f.file()
		f.sends("x", sent)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, scm.MaxFDs+1), N: 7, NFD: 7, Flags: 7}
		beLimit(scm.Recv(-1, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
		beLimit(scm.Recv(f.b, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
		f.receives(1, 1, 0, "x", 0, sent)
	})

	It("1025 buffers are ErrTooManyBuffers before any system call", func() {
		m := scm.Message{Buffers: make([][]byte, scm.MaxBuffers+1), FDs: []int{f.file()}, N: 7}
		m.Buffers[0] = []byte("x")
		beLimit(scm.Send(-1, &m, 0), scm.ErrTooManyBuffers, unix.EMSGSIZE)
		beLimit(scm.Send(f.a, &m, 0), scm.ErrTooManyBuffers, unix.EMSGSIZE)
		Expect(m.N).To(Equal(0))
		isEmpty(f.b)
	})

	It("room of 1025 buffers is ErrTooManyBuffers before any system call, and nothing is lost", func() {
		sent := f.file()
		f.sends("x", sent)
		m := scm.Message{Buffers: make([][]byte, scm.MaxBuffers+1), FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
		beLimit(scm.Recv(-1, &m, 0), scm.ErrTooManyBuffers, unix.EMSGSIZE)
		beLimit(scm.Recv(f.b, &m, 0), scm.ErrTooManyBuffers, unix.EMSGSIZE)
		Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
		f.receives(1, 1, 0, "x", 0, sent)
	})

	It("of both, too many descriptors are told", func() {
		m := scm.Message{Buffers: make([][]byte, scm.MaxBuffers+1), FDs: make([]int, scm.MaxFDs+1)}
		beLimit(scm.Send(f.a, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
		beLimit(scm.Recv(f.b, &m, 0), scm.ErrTooManyFDs, unix.EINVAL)
	})

	It("at the limits the kernel agrees: it is the one that says EBADF", func() {
		m := scm.Message{Buffers: make([][]byte, scm.MaxBuffers), FDs: make([]int, scm.MaxFDs)}
		Expect(scm.Send(-1, &m, 0)).To(MatchError(unix.EBADF))
		Expect(scm.Recv(-1, &m, 0)).To(MatchError(unix.EBADF))
	})
}, everyType)
