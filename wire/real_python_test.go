//go:build linux

package wire_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

var _ = Describe("Python", Label("real"), func() {
	var reduction []string
	BeforeEach(func() { reduction = script("reduction.py", "", "") })

	for _, n := range []int{1, 2, 253} {
		It("sends "+Count(n, "descriptor")+" with multiprocessing.reduction.sendfds", func(ctx SpecContext) {
			f := connect("unix")
			sent := f.files(n)
			runWithFDs(commandOf(ctx, reduction, "sendfds", fmt.Sprint(n)), append([]int{f.b}, sent...)...)
			f.from(wire.Python, f.a, sent...)
			isEmpty(f.a)
		}, NodeTimeout(timeout))

		It("receives "+Count(n, "descriptor")+" with multiprocessing.reduction.recvfds", func(ctx SpecContext) {
			f := connect("unix")
			var sent []int
			want := make([]string, n)
			for i := range want {
				want[i] = fmt.Sprintf("'file %d'", i)
				sent = append(sent, f.file(fmt.Sprintf("file %d", i)))
			}
			Expect(wire.Python.Send(wire.FD(f.a), "", sent...)).To(Succeed())
			out := runWithFDs(commandOf(ctx, reduction, "recvfds", fmt.Sprint(n)), f.b)
			Expect(out).To(Equal("[" + strings.Join(want, ", ") + "]\n"))
		}, NodeTimeout(timeout))
	}

	It("acknowledges a message from Send in the macOS variant of the "+quoted(wire.Python), func(ctx SpecContext) {
		f := connect("unix")
		p := begin(commandOf(ctx, reduction, "recvfds", "2", "ACKNOWLEDGE"), f.b)
		Expect(wire.PythonOfMacOS.Send(wire.FD(f.a), "", f.file("a"), f.file("b"))).To(Succeed())
		Expect(p.waitSuccess()).To(Equal("['a', 'b']\n"))
		isEmpty(f.a)
	}, NodeTimeout(timeout))

	It("waits for the acknowledgement from Recv in the macOS variant of the "+quoted(wire.Python), func(ctx SpecContext) {
		f := connect("unix")
		sent := f.files(2)
		p := begin(commandOf(ctx, reduction, "sendfds", "2", "ACKNOWLEDGE"), append([]int{f.b}, sent...)...)
		f.from(wire.PythonOfMacOS, f.a, sent...)
		p.waitSuccess()
	}, NodeTimeout(timeout))

	It("sends and receives a descriptor with send_handle and recv_handle", func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("handle")
		runWithFDs(commandOf(ctx, reduction, "send_handle", "1"), f.b, sent)
		f.from(wire.Python, f.a, sent)

		Expect(wire.Python.Send(wire.FD(f.a), "", sent)).To(Succeed())
		Expect(runWithFDs(commandOf(ctx, reduction, "recv_handle", "1"), f.b)).To(Equal("['handle']\n"))
	}, NodeTimeout(timeout))

	It("sends a message with socket.send_fds that Recv receives in the "+quoted(wire.Book), func(ctx SpecContext) {
		f := connect("unix")
		sent := f.file("")
		runWithFDs(commandOf(ctx, reduction, "send_fds", "1"), f.b, sent)
		Expect(f.from(wire.Book, f.a, sent)).To(Equal("some bytes"))
	}, NodeTimeout(timeout))

	It("receives a message with socket.recv_fds that Send sends in the "+quoted(wire.Book), func(ctx SpecContext) {
		f := connect("unix")
		Expect(wire.Book.Send(wire.FD(f.a), "some bytes", f.file("content"))).To(Succeed())
		Expect(runWithFDs(commandOf(ctx, reduction, "recv_fds", "1"), f.b)).To(Equal("some bytes 0\n['content']\n"))
	}, NodeTimeout(timeout))
})
