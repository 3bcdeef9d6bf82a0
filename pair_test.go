//go:build linux

package scm_test

import (
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
}, everyType)
