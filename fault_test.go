//go:build linux

package scm_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

// cutMemory is a page of a file that a partner truncated: the kernel cannot write it.
func cutMemory() []byte {
	GinkgoHelper()
	size := unix.Getpagesize()
	file, err := unix.MemfdCreate("shared", unix.MFD_CLOEXEC)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Ftruncate(file, int64(size))).To(Succeed())
	page, err := unix.Mmap(file, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(unix.Munmap, page)
	Expect(unix.Ftruncate(file, 0)).To(Succeed())
	Expect(unix.Close(file)).To(Succeed())
	return page[:1]
}

// On a stream the kernel adds a pidfd also if it could not write the payload, whose bytes stay.
var _ = DescribeTableSubtree("a receive whose buffer the kernel cannot write", func(typ int) {
	var f *fixture
	var nowhere []byte
	var before fdtest.Snapshot
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		nowhere = cutMemory()
		file := f.file()
		for range 5 {
			f.sends("x", file)
		}
		before = fdtest.Take()
	})
	AfterEach(func() { Expect(before.NewSince()).To(BeEmpty(), "numbers left open") })

	It("is EFAULT from ReadFD, which leaves nothing open", func() {
		for range 2 {
			n, fd, err := scm.ReadFD(f.b, nowhere)
			failsWith(err, "recvmsg", unix.EFAULT)
			Expect([]int{n, fd}).To(Equal([]int{-1, -1}))
		}
	})

	It("is EFAULT from Recv, which leaves nothing open", func() {
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			pidfd := -7
			m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 2), PIDFD: &pidfd}
			failsWith(scm.Recv(f.b, &m, flags), "recvmsg", unix.EFAULT)
			Expect([]int{m.NFD, pidfd}).To(Equal([]int{0, -1}))
		}
	})

	It("ends a batch, which leaves nothing of that message open", func() {
		pidfds := []int{-7, -7, -7}
		ms := make([]scm.Message, len(pidfds))
		for i := range ms {
			ms[i] = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), PIDFD: &pidfds[i]}
		}
		ms[1].Buffers[0] = nowhere
		Expect(scm.RecvBatch(f.b, ms, 0)).To(Equal(1))
		Expect(ms[0].NFD).To(Equal(1))
		Expect(unix.Close(ms[0].FDs[0])).To(Succeed())
		Expect(unix.Close(pidfds[0])).To(Succeed())
		Expect(ms[1].NFD + ms[2].NFD).To(Equal(0))
		Expect(pidfds[1:]).To(Equal([]int{-1, -1}))

		n, err := scm.RecvBatch(f.b, ms[1:], 0)
		failsWith(err, "recvmmsg", unix.EFAULT)
		Expect(n).To(Equal(0))
		Expect(pidfds[1:]).To(Equal([]int{-1, -1}))
	})

	It("is EFAULT from a Conn's receives, which leave nothing open", func() {
		fd, err := unix.FcntlInt(uintptr(f.b), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		c, err := scm.NewConnFD(fd)
		Expect(err).NotTo(HaveOccurred())
		defer func() { Expect(c.Close()).To(Succeed()) }()

		_, _, err = c.ReadFiles(nowhere, 1)
		Expect(err).To(MatchError(unix.EFAULT))
		m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 1)}
		Expect(c.Recv(&m, 0)).To(MatchError(unix.EFAULT))
	})
}, everyType)
