//go:build unix && !aix

package scm_test

import (
	"errors"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
)

// beLimit checks that err is the sentinel of a limit, wraps its errno, and is not the error of a system call.
func beLimit(err, sentinel, errno error) {
	GinkgoHelper()
	Expect(err).To(BeIdenticalTo(sentinel))
	Expect(err).To(MatchError(errno))
	var call *os.SyscallError
	Expect(errors.As(err, &call)).To(BeFalse(), "%v comes from a system call", err)
	Expect(err.Error()).To(HavePrefix("scm: more than "))
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

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
