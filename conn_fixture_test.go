//go:build linux

package scm_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var everyNetwork = []TableEntry{
	Entry("unix", "unix"),
	Entry("unixgram", "unixgram"),
	Entry("unixpacket", "unixpacket"),
}

// pair makes two connected Conns, for the time of the spec. At its end there are
// the numbers again that there were before.
func pair(network string) (a, b *scm.Conn) {
	GinkgoHelper()
	return pairWith(scm.Config{}, network)
}

func pairWith(config scm.Config, network string) (a, b *scm.Conn) {
	GinkgoHelper()
	keepsNumbers()
	a, b, err := config.Pair(network)
	Expect(err).NotTo(HaveOccurred())
	return closing(a), closing(b)
}

// keepsNumbers checks, after all that the spec closes is closed, that the same
// numbers are open with the same files behind them.
func keepsNumbers() {
	before := fdtest.Take()
	DeferCleanup(func() {
		Expect(before.NewSince()).To(BeEmpty(), "numbers left open")
	})
}

// closing gives a Conn the deadline that ends what hangs, and closes it after the
// spec.
func closing(c *scm.Conn) *scm.Conn {
	GinkgoHelper()
	Expect(c.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	DeferCleanup(func() { _ = c.Close() })
	return c
}

// pipe makes a pipe of files, for the time of the spec.
func pipe() (r, w *os.File) {
	GinkgoHelper()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	return lent(r), lent(w)
}

// lent closes a file after the spec.
func lent(f *os.File) *os.File {
	DeferCleanup(func() { _ = f.Close() })
	return f
}

// lentAll closes files after the spec.
func lentAll(files []*os.File) []*os.File {
	for _, f := range files {
		lent(f)
	}
	return files
}

// pipes makes the reading ends of n pipes.
func pipes(n int) []*os.File {
	GinkgoHelper()
	files := make([]*os.File, n)
	for i := range files {
		files[i], _ = pipe()
	}
	return files
}

// statusOf is what F_GETFL says.
func statusOf(c syscall.Conn) int {
	GinkgoHelper()
	flags, err := unix.FcntlInt(uintptr(NumberOf(c)), unix.F_GETFL, 0)
	Expect(err).NotTo(HaveOccurred())
	return flags
}

// areSame checks received files: new numbers, close-on-exec, for the very open file
// descriptions that were sent, in order.
func areSame(received, sent []*os.File) {
	GinkgoHelper()
	Expect(received).To(HaveLen(len(sent)))
	for i, f := range received {
		got, want := NumberOf(f), NumberOf(sent[i])
		Expect(got).NotTo(Equal(want))
		Expect(fdtest.Same(got, want)).To(BeTrue(), "file %d is %s", i, fdtest.Name(got))
		Expect(fdtest.CloseOnExec(got)).To(BeTrue(), "file %d", i)
	}
}

// noWriterIsLeft checks that every number of the writing end of r's pipe is
// closed, those in flight too.
func noWriterIsLeft(r *os.File) {
	GinkgoHelper()
	Expect(r.SetReadDeadline(time.Now().Add(Hang))).To(Succeed())
	Expect(r.Read(make([]byte, 1))).Error().To(MatchError(io.EOF))
}

// opFails matches a net.OpError that wraps target.
func opFails(op string, target any) types.GomegaMatcher {
	return And(
		BeAssignableToTypeOf(&net.OpError{}),
		HaveField("Op", op),
		MatchError(target),
	)
}

// goes runs f in a goroutine of the spec, and returns what waits for its end.
func goes(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer GinkgoRecover()
		f()
	}()
	return func() {
		GinkgoHelper()
		select {
		case <-done:
		case <-time.After(2 * Hang):
			Fail("a call hangs")
		}
	}
}

// waitsIn waits until n goroutines that called this method are in the runtime's
// poller.
func waitsIn(method string, n int) {
	GinkgoHelper()
	Eventually(func() int {
		waiting := 0
		for _, stack := range bytes.Split(Stacks(), []byte("\n\n")) {
			if bytes.Contains(stack, []byte("[IO wait")) && bytes.Contains(stack, []byte("."+method+"(")) {
				waiting++
			}
		}
		return waiting
	}, Hang, time.Millisecond).Should(BeNumerically(">=", n))
}
