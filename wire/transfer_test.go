//go:build linux

package wire_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

var _ = It("Send sends the whole payload, in several parts if necessary, and the descriptors once", func() {
	CannotEmulate(fdtest.HostCalls)
	// A signal ends a sendmsg that has sent a part of the payload.
	f := connect("unix")
	text := strings.Repeat("0123456789", 100_000)
	sent := f.files(253)
	done := make(chan error, 1)
	thread := onThread(func() { done <- wire.SkalibsUnixmessage.Send(f.a, text, sent...) })
	for range 3 {
		thread.interrupt(unix.SYS_SENDMSG)
	}
	got := f.from(wire.SkalibsUnixmessage, f.b, sent...)
	Expect(got == text).To(BeTrue(), "received a different text, of %d bytes", len(got))
	Expect(<-done).NotTo(HaveOccurred())
	isEmpty(f.b)
})

var _ = It("Recv continues after a signal interrupts it", func() {
	CannotEmulate(fdtest.HostCalls)
	// The kernel does not restart the call, because the socket has a time limit.
	f := connect("unix")
	sent := f.file("")
	var fds []int
	done := make(chan error, 1)
	thread := onThread(func() {
		var err error
		_, fds, err = wire.OpenSSH.Recv(f.b)
		done <- err
	})
	for range 3 {
		thread.interrupt(unix.SYS_RECVMSG)
	}
	Expect(wire.OpenSSH.Send(f.a, "", sent)).To(Succeed())
	Expect(<-done).NotTo(HaveOccurred())
	f.takes(fds, sent)
})

// The file of /dev/random is kept out of the poller, for which NewFile needs one more descriptor.
var _ = It("RecvFiles and Recv reject a message if the descriptor table is full, and close its descriptors", func() {
	f := connect("unix")
	random := ok(unix.Open("/dev/random", unix.O_CLOEXEC, 0))
	f.Own(random)
	Expect(wire.Python.Send(f.a, "", f.file(""), random)).To(Succeed())
	Expect(wire.Python.Send(f.a, "", f.files(5)...)).To(Succeed())
	var noFile, err error
	var fds []int
	fdtest.WithFree(2, func() {
		_, _, noFile = wire.RecvFiles(wire.Python, f.b)
		_, fds, err = wire.Python.Recv(f.b)
	})
	Expect(noFile).To(And(MatchError(unix.EMFILE), MatchError(HavePrefix("wire: python: descriptor 1: "))))
	Expect(err).To(beFormatError(wire.Python, "the descriptor table of this process is full"))
	Expect(fds).To(BeEmpty())
})

// thread is the ID of a thread of this process.
type thread int

// onThread calls a function on a thread of its own and returns the thread.
func onThread(call func()) thread {
	id := make(chan thread)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		id <- thread(unix.Gettid())
		call()
	}()
	return <-id
}

// interrupt sends the thread a signal as soon as it waits in the system call.
func (t thread) interrupt(call int) {
	GinkgoHelper()
	Eventually(func() string {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", t))
		number, _, _ := bytes.Cut(text, []byte(" "))
		return string(number)
	}, timeout).Should(Equal(strconv.Itoa(call)))
	Expect(unix.Tgkill(os.Getpid(), int(t), unix.SIGURG)).To(Succeed())
}
