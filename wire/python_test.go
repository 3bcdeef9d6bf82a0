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

var _ = Describe("the macOS variant of the "+quoted(wire.Python), func() {
	It("waits for the acknowledgement in Send, and sends it in Recv", func() {
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
		Expect(early).To(BeFalse(), "Send did not wait")
		isEmpty(f.a)
	})

	It("acknowledges a message with the byte A, and not one that it rejects", func() {
		f := connect("unix")
		sent := f.file("")
		Expect(wire.Python.Send(wire.FD(f.a), "", sent)).To(Succeed())
		f.from(wire.PythonOfMacOS, f.b, sent)
		payload, _ := f.receives(f.a)
		Expect(payload).To(Equal("A"))

		sends(f.a, "\x02", f.file(""))
		Expect(failed(wire.PythonOfMacOS, wire.FD(f.b))).To(beFormatError(wire.Python, "received 1 descriptor, but the message announces 2"))
		isEmpty(f.a)
	})

	It("rejects any other acknowledgement, and returns io.EOF from Send if the connection ends without one", func() {
		f := connect("unix")
		sends(f.b, "B")
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file(""))).To(beFormatError(wire.Python, `acknowledgement is "B"`))
		Expect(unix.Shutdown(f.b, unix.SHUT_WR)).To(Succeed())
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file(""))).To(Equal(io.EOF))
	})

	It("closes the received descriptors if it cannot acknowledge them", func() {
		f := connect("unix")
		sends(f.a, "\x01", f.file(""))
		Expect(unix.Shutdown(f.b, unix.SHUT_WR)).To(Succeed())
		Expect(failed(wire.PythonOfMacOS, wire.FD(f.b))).To(MatchError(unix.EPIPE))
	})
})
