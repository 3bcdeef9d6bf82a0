//go:build unix && !aix

package scm_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// readsFD calls ReadFD, which must return n bytes and the descriptor sent.
func (f *fixture) readsFD(p []byte, n, sent int) {
	GinkgoHelper()
	got, fd := both(scm.ReadFD(f.b, p))
	Expect(got).To(Equal(n), "bytes received")
	Expect(fd).To(BeNumerically(">=", 0), "no descriptor was received")
	f.receivedSame([]int{fd}, sent)
}

// readsNone calls ReadFD, which must return n bytes and no descriptor.
func (f *fixture) readsNone(p []byte, n int) {
	GinkgoHelper()
	got, fd := both(scm.ReadFD(f.b, p))
	Expect(got).To(Equal(n), "bytes received")
	Expect(fd).To(Equal(-1), "descriptor")
}

// readsLost calls ReadFD, which must return n bytes and a *TruncatedError, and close the descriptors.
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

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("WriteFD and ReadFD pass bytes and a descriptor", func() {
		sent, p := f.file(), make([]byte, 8)
		Expect(scm.WriteFD(f.a, []byte("hello"), sent)).To(Equal(5))
		f.readsFD(p, 5, sent)
		Expect(p).To(Equal([]byte("hello\x00\x00\x00")))
	})

	It("ReadFD reports that no descriptor arrived with the bytes", func() {
		p := make([]byte, 8)
		Expect(unix.Write(f.a, []byte("hello"))).To(Equal(5))
		f.readsNone(p, 5)
		Expect(p[:5]).To(Equal([]byte("hello")))
	})

	It("ReadFD returns the descriptor with the first part of the payload", func() {
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

	It("ReadFD returns the descriptor if the buffer is empty", func() {
		needsEmpty()
		Expect(Third(scm.ReadFD(f.b, nil))).To(MatchError(unix.EAGAIN), "it waits for a message")
		sent := f.file()
		Expect(scm.WriteFD(f.a, []byte("x"), sent)).To(Equal(1))
		f.readsFD(nil, 0, sent)
		if typ == unix.SOCK_STREAM { // the byte is still queued, without the descriptor
			f.readsNone(make([]byte, 1), 1)
		}
		isEmpty(f.b)
	})

	It("ReadFD closes both descriptors if the padding of its control buffer lets a second one in", func() {
		cannotEmulateTwo()
		Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("hi")}, FDs: f.files(2)}, 0)).To(Succeed())
		p := make([]byte, 4)
		f.readsLost(p, 2)
		Expect(p[:2]).To(Equal([]byte("hi")))
	})

	It("ReadFD closes the descriptors of a truncated message", func() {
		CannotEmulate(fdtest.NotCut)
		for _, n := range []int{3, scm.MaxFDs} {
			Expect(scm.Send(f.a, &scm.Message{Buffers: [][]byte{[]byte("hi")}, FDs: f.files(n)}, 0)).To(Succeed())
			f.readsLost(make([]byte, 4), 2)
		}
	})
}, everyType)
