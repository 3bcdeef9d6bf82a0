//go:build unix && !aix

package wire_test

import (
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

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

var _ = Describe("SendFiles and RecvFiles", func() {
	for _, g := range golden {
		It("pass "+g.content()+" in the "+quoted(g.format)+" through descriptors and Conns", func() {
			cannotEmulateFormat(g.format)
			f := connect(g.format.Network())
			a, b := conns(g.format.Network())
			for _, end := range [][2]wire.Socket{{wire.FD(f.a), wire.FD(f.b)}, {a, b}} {
				sent := files(g.fds)
				Expect(wire.SendFiles(g.format, end[0], g.text, sent...)).To(Succeed())
				text, received, err := wire.RecvFiles(g.format, end[1])
				Expect(text, err).To(Equal(g.text))
				Expect(received).To(HaveLen(len(sent)))
				for i, file := range received {
					Expect(fdtest.Same(FDOf(file), FDOf(sent[i]))).To(BeTrue())
					Expect(fdtest.CloseOnExec(FDOf(file))).To(BeTrue())
					Expect(file.Close()).To(Succeed())
				}
			}
		})
	}
})

var _ = It("SendFiles sends nothing if a file is closed or nil", func() {
	f := connect("unix")
	closed := null()
	Expect(closed.Close()).To(Succeed())
	err := wire.SendFiles(wire.Python, wire.FD(f.a), "", null(), closed)
	Expect(err).To(And(MatchError(os.ErrClosed), MatchError("wire: python: file 1: file already closed")))
	Expect(wire.SendFiles(wire.Python, wire.FD(f.a), "", nil, null())).To(MatchError(os.ErrInvalid))
	Expect(wire.SendFiles(wire.Crun, wire.FD(f.a), "", files(2)...)).To(beFormatError(wire.Crun, "cannot send 2 descriptors"))
	isEmpty(f.b)
})

// notOpen is a format that adds a descriptor that is not open to each received message.
type notOpen struct{ wire.Format }

func (f notOpen) Recv(sock wire.Socket) (string, []int, error) {
	text, fds, err := f.Format.Recv(sock)
	return text, append(fds, -1), err
}

var _ = It("RecvFiles closes every descriptor if it cannot make a file from one of them", func() {
	f := connect("unix")
	Expect(wire.OpenSSH.Send(wire.FD(f.a), "", f.file(""))).To(Succeed())
	_, received, err := wire.RecvFiles(notOpen{wire.OpenSSH}, wire.FD(f.b))
	Expect(err).To(MatchError(HavePrefix("wire: openssh: descriptor 1: ")))
	Expect(received).To(BeEmpty())
})
