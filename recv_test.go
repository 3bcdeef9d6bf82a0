//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("on", func(typ int) {
	It("a child process does not inherit a received descriptor", func() {
		f := connect(typ)
		one := f.file()
		Expect(scm.WriteFD(f.a, []byte("x"), one)).To(Equal(1))
		_, fd := both(scm.ReadFD(f.b, make([]byte, 1)))
		f.Own(fd)
		Expect(inherited(fd)).To(BeFalse(), "by ReadFD")

		sent := f.files(3)
		f.sends("x", sent...)
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
			Expect(scm.Recv(f.b, &m, flags)).To(Succeed())
			f.Own(m.FDs[:m.NFD]...)
			for _, fd := range m.FDs[:m.NFD] {
				Expect(inherited(fd)).To(BeFalse(), "by Recv with flags %#x", flags)
			}
		}

		// The test would notice it.
		ok(unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0))
		Expect(inherited(fd)).To(BeTrue(), "without the flag")
	})

	It("Recv returns the descriptors that fit, and sets MSG_CTRUNC, if the descriptor table is full", func() {
		CannotEmulate(fdtest.NotCut)
		RunChild(ChildCommand("nofile-recv", strconv.Itoa(typ)))
	})

	It("ReadFD closes the descriptors it receives if the descriptor table is full", func() {
		cannotEmulateTwo()
		RunChild(ChildCommand("nofile-read", strconv.Itoa(typ)))
	})
}, everyType)

// inherited prints, in a child process, a line for each open descriptor, with its file.
var _ = Child("inherited", func([]string) {
	for _, fd := range fdtest.Open() {
		id := ok(fdtest.Identify(fd))
		fmt.Println(id)
	}
})

// inherited reports whether a child process that is started now has the file of fd.
func inherited(fd int) bool {
	GinkgoHelper()
	id := ok(fdtest.Identify(fd))
	out := RunChild(ChildCommand("inherited"))
	Expect(strings.Fields(out)).NotTo(BeEmpty())
	return strings.Contains(out, fmt.Sprintln(id))
}

var _ = It("a file that was received as descriptor 1 or 2 is renumbered, so that EPIPE does not raise SIGPIPE", func() {
	RunChild(ChildCommand("without-output"))
})

var _ = Child("without-output", func([]string) {
	a, b := both(scm.Pair("unixpacket"))
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	epoll := os.NewFile(uintptr(ok(unix.EpollCreate1(unix.EPOLL_CLOEXEC))), "epoll") // for which RecvFile needs another descriptor
	defer runtime.KeepAlive(os.Stderr)                                               // its cleanup would close 2
	os.Stderr = os.NewFile(uintptr(ok(unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3))), "stderr")
	scm.CloseFDs(1, 2)
	moved := func(f *os.File, sent *os.File) *os.File {
		GinkgoHelper()
		areSame([]*os.File{f}, []*os.File{sent})
		Expect(FDOf(f)).To(BeNumerically(">", 2))
		Expect(openBelow(3)).To(Equal([]int{0}))
		return f
	}
	for _, sent := range []*os.File{w, epoll} {
		Expect(a.SendFile("x", sent)).To(Succeed())
		Expect(moved(ok(b.RecvFile()), sent).Close()).To(Succeed())
	}
	for _, fd := range []int{1, 2} {
		Expect(unix.Dup3(FDOf(w), fd, 0)).To(Succeed())
		fdtest.WithFree(0, func() { Expect(Second(scm.NewFile(fd, "x"))).To(MatchError(unix.EMFILE)) })
		Expect(fdtest.CloseOnExec(fd)).To(BeFalse(), "NewFile leaves it unchanged on error")
		f := moved(ok(scm.NewFile(fd, "x")), w)
		if fd == 2 {
			Expect(r.Close()).To(Succeed())
			Expect(Second(f.WriteString("x"))).To(MatchError(unix.EPIPE))
		}
	}
})

var _ = It("no call that rejects a message makes the system call close_range", func() {
	CannotEmulate("the emulator has no seccomp filters")
	RunChild(ChildCommand("without-close-range"))
})

var _ = Child("without-close-range", func([]string) {
	runtime.LockOSThread()
	a, b := both(scm.Pair("unixpacket"))
	epoll := ok(unix.EpollCreate1(unix.EPOLL_CLOEXEC)) // for which ReadFiles needs another descriptor
	p := make([]byte, 1)
	Expect(deny(unix.SYS_CLOSE_RANGE, unix.SECCOMP_RET_KILL_PROCESS)).To(Succeed())
	calls := map[string]func() error{
		"framed.Read": func() error { return Second(framed.NewReader(b, framed.Limits{Waiting: 2}).Read(p)) },
		"a full descriptor table": func() (err error) {
			fdtest.WithFree(3, func() { err = Third(b.ReadFiles(p, 3)) })
			return err
		},
	}
	for name, call := range receiving {
		if call.receives != aMessage {
			calls[name] = func() error { return call.atMost(b, 2) }
		}
	}
	for name, receive := range calls {
		Expect(a.WriteFDs([]byte("x"), epoll, epoll, epoll)).To(Equal(1))
		Expect(errorOf[*scm.TruncatedError](receive())).NotTo(BeNil(), name)
	}
})

// fixtureOf returns the fixture of a child process whose argument is the socket type.
func fixtureOf(args []string) *fixture { return newFixture(ok(strconv.Atoi(args[0]))) }

var _ = Child("nofile-recv", func(args []string) {
	f := fixtureOf(args)
	sent := f.files(5)
	for _, c := range []struct{ free, room, want int }{
		{0, 5, 0}, {1, 5, 1}, {4, 5, 4}, {5, 5, 5}, {0, 1, 0}, {1, 2, 1}, {3, 2, 2}, {2, 253, 2},
	} {
		f.sends("x", sent...)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, c.room)}
		fdtest.WithFree(c.free, func() { Expect(scm.Recv(f.b, &m, 0)).To(Succeed()) })
		got := fmt.Sprintf("%d free, room for %d: N=%d NFD=%d Flags=%#x", c.free, c.room, m.N, m.NFD, m.Flags)
		flags := unix.MSG_CTRUNC
		if c.want == len(sent) {
			flags = 0
		}
		Expect(got).To(HaveSuffix("N=1 NFD=%d Flags=%#x", c.want, flags))
		f.receivedSame(m.FDs[:m.NFD], sent[:c.want]...)
		isEmpty(f.b)
	}
	f.end()
})

var _ = Child("nofile-read", func(args []string) {
	f := fixtureOf(args)
	sent := f.files(2)
	for _, c := range []struct {
		free, sent int
		lost       bool
	}{{0, 1, true}, {1, 1, false}, {0, 2, true}, {1, 2, true}, {2, 2, true}} {
		f.sends("x", sent[:c.sent]...)
		p := make([]byte, 1)
		var n, fd int
		var err error
		fdtest.WithFree(c.free, func() { n, fd, err = scm.ReadFD(f.b, p) })
		Expect(n).To(Equal(1))
		Expect(string(p)).To(Equal("x"))
		if c.lost {
			var truncated *scm.TruncatedError
			Expect(errors.As(err, &truncated)).To(BeTrue(), "%d free, %d sent: %v", c.free, c.sent, err)
			Expect(fd).To(Equal(-1))
		} else {
			Expect(err).NotTo(HaveOccurred())
			f.receivedSame([]int{fd}, sent[0])
		}
		Expect(f.Strays()).To(BeEmpty(), "%d free, %d sent", c.free, c.sent)
	}
	f.end()
})
