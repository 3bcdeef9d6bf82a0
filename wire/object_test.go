//go:build unix && !aix

package wire_test

import (
	"io"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

var _ = Describe("Recv in the "+quoted(wire.QMP), func() {
	It("skips white space before and after the JSON object", func() {
		f := connect("unix")
		sent := f.files(2)
		sends(f.a, "\r\n"+getfd+"\r\n", sent[0])
		sends(f.a, getfd+"\r\n", sent[1])
		f.CloseNow(f.a)
		for _, fd := range sent {
			Expect(f.from(wire.QMP, f.b, fd)).To(Equal(getfd))
		}
		Expect(Third(wire.QMP.Recv(wire.FD(f.b)))).To(BeIdenticalTo(io.EOF))
	})

	It("rejects a JSON object that is too long, and closes the descriptor received with it", func() {
		f := connect("unix")
		a := ok(scm.NewConnFD(ok(unix.Dup(f.a))))
		DeferCleanup(a.Close)
		sent := f.file("")
		done := make(chan error, 1)
		go func() {
			_, err := a.WriteFDs([]byte(`{"`+strings.Repeat("x", 1<<20)), sent)
			done <- err
		}()
		// The time limit of f.b is for each of a million receives.
		Expect(failed(wire.QMP, wire.FD(f.b))).To(beFormatError(wire.QMP, "text is longer than 1048576 bytes"))
		Expect(<-done).NotTo(HaveOccurred())
	})
})
