//go:build unix && !aix

package wire_test

import (
	"os"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// null returns an open file, which is closed at the end of the spec.
func null() *os.File {
	GinkgoHelper()
	f := ok(os.Open(os.DevNull))
	DeferCleanup(func() { _ = f.Close() }) // a spec may have closed it
	return f
}

// files returns n open files.
func files(n int) []*os.File {
	GinkgoHelper()
	list := make([]*os.File, n)
	for i := range list {
		list[i] = null()
	}
	return list
}

var _ = It("SendFiles and RecvFiles pass files through descriptors and Conns", func() {
	f := connect("unix")
	a, b := conns("unix")
	for _, end := range [][2]wire.Socket{{f.a, f.b}, {a, b}} {
		sent := files(2)
		Expect(wire.SendFiles(wire.SkalibsUnixmessage, end[0], "data", sent...)).To(Succeed())
		text, received, err := wire.RecvFiles(wire.SkalibsUnixmessage, end[1])
		Expect(text, err).To(Equal("data"))
		Expect(received).To(HaveLen(2), "through a %T", end[1])
		for i, file := range received {
			Expect(fdtest.Same(FDOf(file), FDOf(sent[i]))).To(BeTrue(), "file %d through a %T", i, end[1])
			Expect(fdtest.CloseOnExec(FDOf(file))).To(BeTrue(), "file %d through a %T", i, end[1])
			Expect(file.Close()).To(Succeed())
		}
	}
})

var _ = It("SendFiles sends nothing if a file is closed or nil", func() {
	f := connect("unix")
	closed := null()
	Expect(closed.Close()).To(Succeed())
	err := wire.SendFiles(wire.Python, f.a, "", null(), closed)
	Expect(err).To(And(MatchError(os.ErrClosed), MatchError("wire: python: file 1: file already closed")))
	Expect(wire.SendFiles(wire.Python, f.a, "", nil, null())).To(MatchError(os.ErrInvalid))
	Expect(wire.SendFiles(wire.Crun, f.a, "", files(2)...)).To(beFormatError(wire.Crun, "cannot send 2 descriptors"))
	isEmpty(f.b)
})

// notOpen is a format that adds a descriptor that is not open to each received message, as the second one.
type notOpen struct{ wire.Format }

func (f notOpen) Recv(sock wire.Socket) (string, []int, error) {
	text, fds, err := f.Format.Recv(sock)
	return text, slices.Insert(fds, 1, -1), err
}

var _ = It("RecvFiles closes every descriptor if it cannot make a file from one, and can continue", func() {
	f := connect("unix")
	sent := f.files(2)
	for range 2 {
		Expect(wire.SkalibsUnixmessage.Send(f.a, "", sent...)).To(Succeed())
	}
	_, received, err := wire.RecvFiles(notOpen{wire.SkalibsUnixmessage}, f.b)
	Expect(err).To(And(MatchError(unix.EBADF), MatchError(HavePrefix("wire: skalibs-unixmessage: descriptor 1: "))))
	Expect(received).To(BeEmpty())
	Expect(f.Strays()).To(BeEmpty())
	f.from(wire.SkalibsUnixmessage, f.b, sent...)
})
