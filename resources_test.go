//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A process whose table of descriptors is full is a child: the limit would
// hit the suite too.

var _ = DescribeTableSubtree("at RLIMIT_NOFILE", func(typ int) {
	for _, c := range []struct {
		child, name string
	}{
		{"nofile-recv", "Recv hands over what the table took and says MSG_CTRUNC"},
		{"nofile-read", "ReadFD hands over one where one is free, and else closes what came"},
		{"nofile-peek", "MSG_PEEK leaves the message, and it comes whole once there is room"},
		{"nofile-send", "sending needs no number"},
	} {
		It(c.name, func() {
			switch c.child {
			case "nofile-recv":
				CannotEmulate(fdtest.NotCut)
			case "nofile-read":
				cannotEmulateTwo()
			case "nofile-send":
				if os.Geteuid() != 0 {
					Skip("not root: it is also the limit of what all programs of this user have in flight")
				}
			}
			RunChild(ChildCommand(c.child, strconv.Itoa(typ)))
		})
	}
}, everyType)

// withFree runs call while the table has so many free numbers.
func withFree(free int, call func()) {
	GinkgoHelper()
	var limit unix.Rlimit
	Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	open := fdtest.Open()
	low := unix.Rlimit{Cur: uint64(open[len(open)-1] + 1 + free), Max: limit.Max}
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &low)).To(Succeed())
	var fill []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			Expect(err).To(MatchError(unix.EMFILE))
			break
		}
		fill = append(fill, fd)
	}
	keep := len(fill) - free
	for _, fd := range fill[keep:] {
		Expect(unix.Close(fd)).To(Succeed())
	}
	call()
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	for _, fd := range fill[:keep] {
		Expect(unix.Close(fd)).To(Succeed())
	}
}

// fixtureOf is the fixture of a child whose argument is the socket type.
func fixtureOf(args []string) (f *fixture, typ int) {
	typ, err := strconv.Atoi(args[0])
	Expect(err).NotTo(HaveOccurred())
	return newFixture(typ), typ
}

var _ = Child("nofile-recv", func(args []string) {
	f, _ := fixtureOf(args)
	sent := f.files(5)
	for _, c := range []struct{ free, room, want int }{
		{0, 5, 0}, {1, 5, 1}, {4, 5, 4}, {5, 5, 5}, {0, 1, 0}, {1, 2, 1}, {3, 2, 2}, {2, 253, 2},
	} {
		f.sends("x", sent...)
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, c.room)}
		withFree(c.free, func() { Expect(scm.Recv(f.b, &m, 0)).To(Succeed()) })
		got := fmt.Sprintf("%d free, room for %d: N=%d NFD=%d Flags=%#x", c.free, c.room, m.N, m.NFD, m.Flags)
		flags := unix.MSG_CTRUNC
		if c.want == len(sent) {
			flags = 0
		}
		Expect(got).To(HaveSuffix("N=1 NFD=%d Flags=%#x", c.want, flags))
		f.takes(m.FDs[:m.NFD], sent[:c.want]...)
		isEmpty(f.b)
	}
	f.end()
})

var _ = Child("nofile-read", func(args []string) {
	f, _ := fixtureOf(args)
	sent := f.files(2)
	for _, c := range []struct {
		free, sent int
		lost       bool
	}{{0, 1, true}, {1, 1, false}, {0, 2, true}, {1, 2, true}, {2, 2, true}} {
		f.sends("x", sent[:c.sent]...)
		p := make([]byte, 1)
		var n, fd int
		var err error
		withFree(c.free, func() { n, fd, err = scm.ReadFD(f.b, p) })
		Expect(n).To(Equal(1))
		Expect(string(p)).To(Equal("x"))
		if c.lost {
			var truncated *scm.TruncatedError
			Expect(errors.As(err, &truncated)).To(BeTrue(), "%d free, %d sent: %v", c.free, c.sent, err)
			Expect(fd).To(Equal(-1))
		} else {
			Expect(err).NotTo(HaveOccurred())
			f.takes([]int{fd}, sent[0])
		}
		Expect(f.Strays()).To(BeEmpty(), "%d free, %d sent", c.free, c.sent)
	}
	f.end()
})

var _ = Child("nofile-peek", func(args []string) {
	f, _ := fixtureOf(args)
	sent := f.files(3)
	f.sends("x", sent...)
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 3)}
	withFree(1, func() { Expect(scm.Recv(f.b, &m, unix.MSG_PEEK)).To(Succeed()) })
	Expect(m.Flags).To(Equal(unix.MSG_CTRUNC))
	f.takes(m.FDs[:m.NFD], sent[0])
	f.receives(1, 3, 0, "x", 0, sent...)
	f.end()
})

var _ = Child("nofile-send", func(args []string) {
	f, _ := fixtureOf(args)
	sent := f.files(3)
	withFree(0, func() {
		f.sends("x", sent...)
		Expect(scm.WriteFD(f.a, []byte("y"), sent[0])).To(Equal(1))
	})
	f.receives(1, 3, 0, "x", 0, sent...)
	f.readsFD(make([]byte, 1), 1, sent[0])
	f.end()
})

// The kernel limits what an unprivileged user has in flight, and never root.
var _ = DescribeTableSubtree("too many descriptors in flight", func(typ int) {
	It("are ETOOMANYREFS: nothing is sent, and a receive makes room", func() {
		CannotEmulate(fdtest.NotCut)
		cmd := ChildCommand("inflight", strconv.Itoa(typ))
		if os.Geteuid() == 0 {
			// A user whom nobody else is: what others have in flight would count.
			user := uint32(1<<30 + os.Getpid())
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			if err := ReadableByOthers(); err != nil {
				Skip("another user may not run the test binary: " + err.Error())
			}
		}
		RunChild(cmd)
	})
}, everyType)

var _ = Child("inflight", func(args []string) {
	f, _ := fixtureOf(args)
	limit := unix.Rlimit{Cur: 64, Max: 64}
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	sent := f.files(1)[0]
	fds := slices.Repeat([]int{sent}, 40)
	m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: fds}
	count := 0
	var err error
	for err == nil && count < 10 {
		if err = scm.Send(f.a, &m, 0); err == nil {
			count++
		}
	}
	failsWith(err, "sendmsg", unix.ETOOMANYREFS)
	Expect(count).To(BeNumerically(">=", 1))
	writeFails(f.a, []byte("x"), sent, unix.ETOOMANYREFS)
	f.sends("plain")

	for range count {
		f.receives(1, 2, 0, "x", unix.MSG_CTRUNC, sent, sent)
	}
	f.receives(8, 2, 0, "plain", 0)
	isEmpty(f.b)
	Expect(scm.WriteFD(f.a, []byte("x"), sent)).To(Equal(1))
	f.readsFD(make([]byte, 1), 1, sent)
	f.end()
})
