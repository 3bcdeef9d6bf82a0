//go:build linux

package wire_test

import (
	"io"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("Python of macOS", func() {
	It("waits for the acknowledgement, and gives it", func() {
		f := connect("unix")
		sent := f.files(2)
		var asked atomic.Bool
		done, early := make(chan error, 1), false
		go func() {
			err := wire.PythonOfMacOS.Send(wire.FD(f.a), "", sent...)
			early = !asked.Load()
			done <- err
		}()
		Expect(again(func() error {
			_, _, err := unix.Recvfrom(f.b, make([]byte, 1), unix.MSG_PEEK)
			return err
		})).To(Succeed())
		asked.Store(true)
		f.from(wire.PythonOfMacOS, f.b, sent...)
		Expect(<-done).NotTo(HaveOccurred())
		Expect(early).To(BeFalse(), "it did not wait")
		isEmpty(f.a)
	})

	It("gives the byte A", func() {
		f := connect("unix")
		sent := f.file("")
		Expect(wire.Python.Send(wire.FD(f.a), "", sent)).To(Succeed())
		f.from(wire.PythonOfMacOS, f.b, sent)
		payload, _ := f.receives(f.a)
		Expect(payload).To(Equal("A"))
	})

	It("takes no other", func() {
		f := connect("unix")
		sends(f.b, "B")
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file(""))).To(beFormatError(wire.Python, `the acknowledgement is "B"`))
	})

	It("fails where none comes", func() {
		f := connect("unix")
		Expect(unix.Shutdown(f.b, unix.SHUT_WR)).To(Succeed())
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file(""))).To(Equal(io.EOF))
	})

	It("does not give it for what it refuses", func() {
		f := connect("unix")
		sends(f.a, "\x02", f.file(""))
		_, _, err := wire.PythonOfMacOS.Recv(wire.FD(f.b))
		Expect(err).To(beFormatError(wire.Python, "1 descriptors came, and the number 2"))
		isEmpty(f.a)
	})

	It("closes what came if it cannot give it", func() {
		f := connect("unix")
		sends(f.a, "\x01", f.file(""))
		Expect(unix.Shutdown(f.b, unix.SHUT_WR)).To(Succeed())
		_, fds, err := wire.PythonOfMacOS.Recv(wire.FD(f.b))
		Expect(err).To(MatchError(unix.EPIPE))
		Expect(fds).To(BeEmpty())
	})
})
