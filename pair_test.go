//go:build linux

package scm_test

import (
	"bytes"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// readsFD is ReadFD where it must give n bytes and the descriptor sent.
func (f *fixture) readsFD(p []byte, n, sent int) {
	GinkgoHelper()
	got, fd, err := scm.ReadFD(f.b, p)
	Expect(err).NotTo(HaveOccurred())
	Expect(got).To(Equal(n), "bytes received")
	Expect(fd).To(BeNumerically(">=", 0), "no descriptor came")
	f.takes([]int{fd}, sent)
}

// readsNone is ReadFD where it must give n bytes and say that no descriptor came.
func (f *fixture) readsNone(p []byte, n int) {
	GinkgoHelper()
	got, fd, err := scm.ReadFD(f.b, p)
	Expect(err).NotTo(HaveOccurred())
	Expect(got).To(Equal(n), "bytes received")
	Expect(fd).To(Equal(-1), "descriptor")
}

// readsLost is ReadFD where it must give n bytes and close what came.
func (f *fixture) readsLost(p []byte, n int) {
	GinkgoHelper()
	got, fd, err := scm.ReadFD(f.b, p)
	var truncated *scm.TruncatedError
	Expect(err).To(BeAssignableToTypeOf(truncated))
	Expect(err.(*scm.TruncatedError).N).To(Equal(n))
	Expect(err.Error()).To(HavePrefix("scm: "))
	Expect(got).To(Equal(n), "bytes received")
	Expect(fd).To(Equal(-1), "descriptor")
}

var _ = DescribeTableSubtree("the pair", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("passes bytes and a descriptor", func() {
		sent, p := f.file(), make([]byte, 8)
		Expect(scm.WriteFD(f.a, []byte("hello"), sent)).To(Equal(5))
		f.readsFD(p, 5, sent)
		Expect(p).To(Equal([]byte("hello\x00\x00\x00")))
	})

	It("says that bytes came alone", func() {
		p := make([]byte, 8)
		Expect(unix.Write(f.a, []byte("hello"))).To(Equal(5))
		f.readsNone(p, 5)
		Expect(p[:5]).To(Equal([]byte("hello")))
	})

	It("works in both directions, and on a blocking socket", func() {
		f.a, f.b = f.pair(typ)
		for range 2 {
			sent := f.file()
			Expect(scm.WriteFD(f.a, []byte{0}, sent)).To(Equal(1))
			f.readsFD(make([]byte, 1), 1, sent)
			f.a, f.b = f.b, f.a
		}
	})

	It("keeps messages and their descriptors in order", func() {
		sent := f.files(5)
		for i, fd := range sent {
			Expect(scm.WriteFD(f.a, []byte{byte(i)}, fd)).To(Equal(1))
		}
		for i, fd := range sent {
			p := make([]byte, 8)
			f.readsFD(p, 1, fd)
			Expect(p[0]).To(BeEquivalentTo(i))
		}
	})

	It("passes the socket itself, and the other end", func() {
		for _, sent := range []int{f.a, f.b} {
			Expect(scm.WriteFD(f.a, []byte{0}, sent)).To(Equal(1))
			f.readsFD(make([]byte, 1), 1, sent)
		}
	})

	It("passes payloads of every size", func() {
		for _, size := range []int{1, 2, 4095, 4096, 4097, 20000} {
			sent := f.file()
			payload := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			Expect(scm.WriteFD(f.a, payload, sent)).To(Equal(size))
			p := make([]byte, size+1)
			f.readsFD(p, size, sent)
			Expect(bytes.Equal(p[:size], payload)).To(BeTrue())
		}
	})

	It("hands the descriptor over with a part of the payload", func() {
		sent, p := f.file(), make([]byte, 2)
		Expect(scm.WriteFD(f.a, []byte("hello"), sent)).To(Equal(5))
		f.readsFD(p, 2, sent)
		Expect(p).To(Equal([]byte("he")))
		if typ == unix.SOCK_STREAM {
			p = make([]byte, 8)
			f.readsNone(p, 3)
			Expect(p[:3]).To(Equal([]byte("llo")))
		}
		isEmpty(f.b)
	})

	It("hands the descriptor over into an empty buffer", func() {
		sent := f.file()
		Expect(scm.WriteFD(f.a, []byte("x"), sent)).To(Equal(1))
		f.readsFD(nil, 0, sent)
		if typ == unix.SOCK_STREAM { // the byte is still there, without it
			f.readsNone(make([]byte, 1), 1)
		}
		isEmpty(f.b)
	})

	It("closes both of two descriptors that came in the padding of its room", func() {
		cannotEmulateTwo()
		Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("hi")}, FDs: f.files(2)}, 0)).To(Succeed())
		p := make([]byte, 4)
		f.readsLost(p, 2)
		Expect(p[:2]).To(Equal([]byte("hi")))
	})

	It("closes what came of more than its room", func() {
		CannotEmulate(fdtest.NotCut)
		for _, n := range []int{3, scm.MaxFDs} {
			Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("hi")}, FDs: f.files(n)}, 0)).To(Succeed())
			f.readsLost(make([]byte, 4), 2)
		}
	})

	It("forgets what it lost at the next message", func() {
		cannotEmulateTwo()
		Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("hi")}, FDs: f.files(2)}, 0)).To(Succeed())
		f.readsLost(make([]byte, 4), 2)
		sent := f.file()
		Expect(scm.WriteFD(f.a, []byte{0}, sent)).To(Equal(1))
		f.readsFD(make([]byte, 4), 1, sent)
	})

	It("shares the file offset", func() {
		file, err := os.Create(filepath.Join(GinkgoT().TempDir(), "file"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(file.Close)
		Expect(file.WriteString("0123456789")).To(Equal(10))
		sent, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		f.Own(sent)
		Expect(unix.Seek(sent, 4, unix.SEEK_SET)).To(BeEquivalentTo(4))

		Expect(scm.WriteFD(f.a, []byte{0}, sent)).To(Equal(1))
		_, fd, err := scm.ReadFD(f.b, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		f.takes([]int{fd}, sent)
		p := make([]byte, 3)
		Expect(unix.Read(fd, p)).To(Equal(3))
		Expect(p).To(Equal([]byte("456")))
		Expect(unix.Seek(sent, 0, unix.SEEK_CUR)).To(BeEquivalentTo(7))
	})

	It("shares O_NONBLOCK", func() {
		sent := f.file()
		Expect(scm.WriteFD(f.a, []byte{0}, sent)).To(Equal(1))
		_, fd, err := scm.ReadFD(f.b, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		f.takes([]int{fd}, sent)
		flags, err := unix.FcntlInt(uintptr(sent), unix.F_GETFL, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(flags&unix.O_NONBLOCK).To(BeZero(), "passing changed it")
		Expect(unix.SetNonblock(fd, true)).To(Succeed())
		flags, err = unix.FcntlInt(uintptr(sent), unix.F_GETFL, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(flags & unix.O_NONBLOCK).NotTo(BeZero())
	})
}, everyType)

var _ = Describe("the pair on a stream", func() {
	var f *fixture
	BeforeEach(func() { f = connect(unix.SOCK_STREAM) })

	It("loses the descriptor of an empty payload, as Linux does, and keeps the number", func() {
		Expect(scm.WriteFD(f.a, nil, f.file())).To(Equal(0))
		isEmpty(f.b)
	})

	It("glues the plain bytes before a message to it, and none after it", func() {
		first, second := f.file(), f.file()
		Expect(unix.Write(f.a, []byte("aa"))).To(Equal(2))
		Expect(scm.WriteFD(f.a, []byte("BB"), first)).To(Equal(2))
		Expect(unix.Write(f.a, []byte("cc"))).To(Equal(2))
		Expect(scm.WriteFD(f.a, []byte("DD"), second)).To(Equal(2))
		p := make([]byte, 16)
		f.readsFD(p, 4, first)
		Expect(p[:4]).To(Equal([]byte("aaBB")))
		f.readsFD(p, 4, second)
		Expect(p[:4]).To(Equal([]byte("ccDD")))
	})

	It("says the end after what was sent before it", func() {
		sent := f.file()
		Expect(scm.WriteFD(f.a, []byte("bye"), sent)).To(Equal(3))
		Expect(unix.Shutdown(f.a, unix.SHUT_WR)).To(Succeed())
		f.readsFD(make([]byte, 8), 3, sent)
		f.readsNone(make([]byte, 8), 0)
		f.readsNone(make([]byte, 8), 0)
	})
})

var _ = DescribeTableSubtree("the pair on packets", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("delivers an empty message with its descriptor", func() {
		for _, empty := range [][]byte{nil, {}} {
			sent := f.file()
			Expect(scm.WriteFD(f.a, empty, sent)).To(Equal(0))
			f.readsFD(make([]byte, 8), 0, sent)
		}
	})

	It("delivers an empty message without a descriptor", func() {
		Expect(unix.Sendto(f.a, nil, 0, nil)).To(Succeed())
		f.readsNone(make([]byte, 8), 0)
	})
}, Entry("dgram", unix.SOCK_DGRAM), Entry("seqpacket", unix.SOCK_SEQPACKET))
