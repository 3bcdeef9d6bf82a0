//go:build linux

package wire_test

import (
	"io"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/wire"
)

var _ = Describe("the macOS variant of the "+quoted(wire.Python), func() {
	It("acknowledges a message with the byte A, and not one that it rejects", func() {
		f := connect("unix")
		sends(f.a, "\x01", f.file(""))
		f.recv(wire.PythonOfMacOS, f.b)
		payload, _ := f.receives(f.a)
		Expect(payload).To(Equal("A"))

		sends(f.a, "\x02", f.file(""))
		reason := "received 1 descriptor, but the message announces 2"
		Expect(failed(wire.PythonOfMacOS, f.b)).To(beFormatError(wire.Python, reason))
		isEmpty(f.a)
	})

	It("waits for the acknowledgement A in Send, and rejects any other and the end of the connection", func() {
		f := connect("unix")
		sends(f.b, "AB")
		sent := f.file("")
		Expect(wire.PythonOfMacOS.Send(f.a, "", sent)).To(Succeed())
		Expect(wire.PythonOfMacOS.Send(f.a, "", sent)).To(beFormatError(wire.Python, `acknowledgement is "B"`))
		Expect(unix.Shutdown(int(f.b), unix.SHUT_WR)).To(Succeed())
		Expect(wire.PythonOfMacOS.Send(f.a, "", sent)).To(Equal(io.EOF))
	})

	It("closes the received descriptors if it cannot acknowledge them", func() {
		f := connect("unix")
		sends(f.a, "\x01", f.file(""))
		Expect(unix.Shutdown(int(f.b), unix.SHUT_WR)).To(Succeed())
		Expect(failed(wire.PythonOfMacOS, f.b)).To(MatchError(unix.EPIPE))
	})

	It("passes descriptors to Python, which acknowledges them", Label("real"), func(ctx SpecContext) {
		f := connect("unix")
		p := begin(commandOf(ctx, script("reduction.py", "", ""), "recvfds", "2", "ACKNOWLEDGE"), int(f.b))
		Expect(wire.PythonOfMacOS.Send(f.a, "", f.file("a"), f.file("b"))).To(Succeed())
		Expect(exits(p, 0)).To(Equal("['a', 'b']\n"))
		isEmpty(f.a)
	}, NodeTimeout(timeout))

	It("receives descriptors from Python, and acknowledges them", Label("real"), func(ctx SpecContext) {
		f := connect("unix")
		sent := f.files(2)
		command := commandOf(ctx, script("reduction.py", "", ""), "sendfds", "2", "ACKNOWLEDGE")
		p := begin(command, append([]int{int(f.b)}, sent...)...)
		f.from(wire.PythonOfMacOS, f.a, sent...)
		exits(p, 0)
	}, NodeTimeout(timeout))
})
