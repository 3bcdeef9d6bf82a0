//go:build linux

package scm_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// These specs run every path of every call many times. Afterwards, exactly the same descriptors must be open, for
// the same files.

// path is one path through the calls. It closes the descriptors it is given.
type path struct {
	name string
	run  func(f *fixture)
}

var paths = []path{
	{"WriteFD and ReadFD", func(f *fixture) {
		Expect(scm.WriteFD(f.a, []byte("x"), f.a)).To(Equal(1))
		_, fd, err := scm.ReadFD(f.b, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Close(fd)).To(Succeed())
	}},
	{"ReadFD with two descriptors", func(f *fixture) {
		cannotEmulateTwo()
		f.sends("x", f.a, f.b)
		f.readsLost(make([]byte, 1), 1)
	}},
	{"ReadFD with three descriptors", func(f *fixture) {
		CannotEmulate(fdtest.NotCut)
		f.sends("x", f.a, f.b, f.a)
		f.readsLost(make([]byte, 1), 1)
	}},
	{"ReadFD when no message is queued", func(f *fixture) { readFails(f.b, unix.EAGAIN) }},
	{"ReadFD on a socket that is not open", func(f *fixture) { readFails(-1, unix.EBADF) }},
	{"WriteFD with a descriptor that is not open", func(f *fixture) { writeFails(f.a, []byte("x"), -1, unix.EBADF) }},
	{"WriteFD without a payload", func(f *fixture) {
		Expect(scm.WriteFD(f.a, nil, f.a)).To(Equal(0))
		if n, fd, err := scm.ReadFD(f.b, nil); err == nil {
			Expect(n).To(Equal(0))
			Expect(unix.Close(fd)).To(Succeed())
		}
	}},
	{"Send and Recv", func(f *fixture) {
		f.sends("x", f.a, f.b, f.a)
		recvAndClose(f, 3, 3)
	}},
	{"Send and Recv with 253 descriptors", func(f *fixture) {
		f.sends("x", slices.Repeat([]int{f.a}, scm.MaxFDs)...)
		recvAndClose(f, scm.MaxFDs, scm.MaxFDs)
	}},
	{"Recv with capacity for two of five descriptors", func(f *fixture) {
		CannotEmulate(fdtest.NotCut)
		f.sends("x", f.a, f.b, f.a, f.b, f.a)
		recvAndClose(f, 2, 2)
	}},
	{"Recv with capacity for one of two descriptors", func(f *fixture) {
		CannotEmulate(fdtest.NotCut)
		f.sends("x", f.a, f.b)
		recvAndClose(f, 1, 1)
	}},
	{"Recv without capacity for descriptors", func(f *fixture) {
		f.sends("x", f.a, f.b)
		recvAndClose(f, 0, 0)
	}},
	{"Recv when no message is queued", func(f *fixture) { recvFails(f.b, unix.EAGAIN) }},
	{"Send with two open descriptors and one that is not open", func(f *fixture) {
		sendFails(f.a, "x", unix.EBADF, f.a, f.b, -1)
	}},
	{"Send with 254 descriptors", func(f *fixture) {
		m := scm.Message{FDs: slices.Repeat([]int{f.a}, scm.MaxFDs+1)}
		Expect(scm.Send(f.a, &m, 0)).To(MatchError(scm.ErrTooManyFDs))
	}},
}

func recvAndClose(f *fixture, room, want int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, room)}
	Expect(scm.Recv(f.b, &m, 0)).To(Succeed())
	for _, fd := range m.FDs[:m.NFD] {
		Expect(unix.Close(fd)).To(Succeed())
	}
	Expect(m.NFD).To(Equal(want), "descriptors received")
}

var _ = DescribeTableSubtree("on", func(typ int) {
	for _, p := range paths {
		It("no descriptor is leaked or lost by "+p.name, func() {
			f := connect(typ)
			before := fdtest.Take()
			for range 20 {
				p.run(f)
			}
			Expect(fdtest.Take()).To(Equal(before), "numbers and the files behind them")
		})
	}

	It("a receive closes every descriptor that it does not return", func() {
		cannotEmulateTwo()
		for _, read := range []func(f *fixture){
			func(f *fixture) { f.readsLost(make([]byte, 1), 1) },
			func(f *fixture) { f.receives(1, 0, 0, "x", unix.MSG_CTRUNC) },
		} {
			f := connect(typ)
			var p [2]int
			Expect(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)).To(Succeed())
			f.Own(p[0], p[1])
			f.sends("x", p[1], p[1])
			f.CloseNow(p[1])
			read(f)
			Expect(unix.Read(p[0], make([]byte, 1))).To(Equal(0), "the end of the pipe: no writer is left")
		}
	})
}, everyType)

// inherited prints, in a child process, a line for each open descriptor, with its file.
var _ = Child("inherited", func([]string) {
	for _, fd := range fdtest.Open() {
		id, err := fdtest.Identify(fd)
		Expect(err).NotTo(HaveOccurred())
		fmt.Println(id)
	}
})

// inherited reports whether a child process that is started now has the file of fd.
func inherited(fd int) bool {
	GinkgoHelper()
	id, err := fdtest.Identify(fd)
	Expect(err).NotTo(HaveOccurred())
	out := RunChild(ChildCommand("inherited"))
	Expect(strings.Fields(out)).NotTo(BeEmpty())
	return strings.Contains(out, fmt.Sprintln(id))
}

var _ = DescribeTableSubtree("on", func(typ int) {
	It("a child process does not inherit a received descriptor", func() {
		f := connect(typ)
		one := f.file()
		Expect(scm.WriteFD(f.a, []byte("x"), one)).To(Equal(1))
		_, fd, err := scm.ReadFD(f.b, make([]byte, 1))
		Expect(err).NotTo(HaveOccurred())
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
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(inherited(fd)).To(BeTrue(), "without the flag")
	})
}, everyType)
