//go:build linux

package scm_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTableSubtree("a file with a name", func(network string) {
	It("is sent and received", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		for _, name := range []string{"x", "/dev/ptmx", "with spaces\nand more", strings.Repeat("n", 4095)} {
			Expect(a.SendFile(name, f)).To(Succeed())
			received, err := b.RecvFile()
			Expect(err).NotTo(HaveOccurred())
			lent(received)
			Expect(received.Name()).To(Equal(name))
			areSame([]*os.File{received}, []*os.File{f})
		}
	})

	It("is on the wire as runc has it: the bytes of the name and one descriptor", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.SendFile("/dev/ptmx", f)).To(Succeed())
		receives(b, "/dev/ptmx", f)
	})

	It("can be a connection", func() {
		a, b := pair(network)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(tcp.Close)
		Expect(a.SendFile("listener", tcp.(*net.TCPListener))).To(Succeed())
		received, err := b.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		lent(received)
		Expect(fdtest.Same(NumberOf(received), NumberOf(tcp.(*net.TCPListener)))).To(BeTrue())

		Expect(a.SendFile("itself", a)).To(Succeed())
		received, err = b.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		lent(received)
		Expect(fdtest.Same(NumberOf(received), NumberOf(a))).To(BeTrue())
	})

	It("comes without the NUL that conmon sends", func() {
		a, b := pair(network)
		Expect(a.SendFile("name\x00", pipes(1)[0])).To(Succeed())
		received, err := b.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		lent(received)
		Expect(received.Name()).To(Equal("name"))
	})

	It("has a name of less than 4096 bytes, and on a stream of at least one", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.SendFile(strings.Repeat("n", 4096), f)).To(opFails("write", unix.ENAMETOOLONG))
		err := a.SendFile("", f)
		if network == "unix" {
			Expect(err).To(opFails("write", scm.ErrEmptyPayload))
			return
		}
		Expect(err).NotTo(HaveOccurred())
		received, err := b.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		Expect(lent(received).Name()).To(BeEmpty())
	})

	It("is refused, nil or closed", func() {
		a, b := pair(network)
		r, _ := pipe()
		Expect(r.Close()).To(Succeed())
		Expect(a.SendFile("name", nil)).To(opFails("write", os.ErrInvalid))
		Expect(a.SendFile("name", withoutRaw{})).To(opFails("write", os.ErrInvalid))
		Expect(a.SendFile("name", (*os.File)(nil))).To(opFails("write", os.ErrInvalid))
		Expect(a.SendFile("name", r)).To(opFails("write", os.ErrClosed))
		Expect(a.Write([]byte("after"))).To(Equal(5))
		receives(b, "after")
	})

	refused := func(name string, send func(a *scm.Conn, w *os.File), check func(err error)) {
		It("is refused, and what came is closed, "+name, func() {
			a, b := pair(network)
			r, w := pipe()
			send(a, w)
			Expect(w.Close()).To(Succeed())
			before := fdtest.Take()
			f, err := b.RecvFile()
			Expect(f).To(BeNil())
			check(err)
			Expect(before.NewSince()).To(BeEmpty())
			noWriterIsLeft(r)
			Expect(a.SendFile("after", b)).To(Succeed(), "the conversation goes on")
			f, err = b.RecvFile()
			Expect(err).NotTo(HaveOccurred())
			Expect(lent(f).Name()).To(Equal("after"))
		})
	}
	truncated := func(err error) {
		GinkgoHelper()
		var t *scm.TruncatedError
		Expect(errors.As(err, &t)).To(BeTrue(), "%v", err)
		Expect(t.N).To(Equal(4))
		Expect(t.Files).To(BeNil())
		Expect(err).To(MatchError(unix.EMSGSIZE))
	}
	refused("with two descriptors", func(a *scm.Conn, w *os.File) {
		cannotEmulateTwo()
		Expect(a.WriteFiles([]byte("name"), w, w)).To(Equal(4))
	}, truncated)
	refused("with three descriptors", func(a *scm.Conn, w *os.File) {
		CannotEmulate(fdtest.NotCut)
		Expect(a.WriteFiles([]byte("name"), w, w, w)).To(Equal(4))
	}, truncated)
	if network != "unix" {
		refused("with a name of 4096 bytes", func(a *scm.Conn, w *os.File) {
			Expect(a.WriteFiles(make([]byte, 4096), w)).To(Equal(4096))
		}, func(err error) { Expect(err).To(opFails("read", unix.ENAMETOOLONG)) })
		refused("with a name of more", func(a *scm.Conn, w *os.File) {
			Expect(a.WriteFiles(make([]byte, 5000), w)).To(Equal(5000))
		}, func(err error) { Expect(err).To(opFails("read", unix.ENAMETOOLONG)) })
	}

	It("is refused without a descriptor", func() {
		a, b := pair(network)
		Expect(a.Write([]byte("name"))).To(Equal(4))
		Expect(Second(b.RecvFile())).To(opFails("read", scm.ErrNoFile))
	})

	It("is told from the end", func() {
		a, b := pair(network)
		if network == "unixgram" {
			Expect(a.Write(nil)).To(BeZero())
			Expect(Second(b.RecvFile())).To(opFails("read", scm.ErrNoFile))
			return
		}
		Expect(a.Close()).To(Succeed())
		Expect(Second(b.RecvFile())).To(BeIdenticalTo(io.EOF))
	})

	It("is told from the end where the kernel cuts credentials of nobody", func() {
		if network == "unixgram" {
			Skip("a datagram socket has no end")
		}
		for _, config := range []scm.Config{{}, {KeepTruncated: true}} {
			a, b := pairWith(config, network)
			supported(b.PassCred(true), "SO_PASSCRED")
			Expect(a.Close()).To(Succeed())
			Expect(Second(b.RecvFile())).To(BeIdenticalTo(io.EOF))
			_, _, err := b.ReadFiles(make([]byte, 1), 1)
			Expect(err).To(BeIdenticalTo(io.EOF))
		}
	})
}, everyNetwork)

// withoutRaw is a caller's own connection that gives nothing, and no error.
type withoutRaw struct{}

func (withoutRaw) SyscallConn() (syscall.RawConn, error) { return nil, nil }

var _ = Describe("Nonblock", func() {
	It("asks and sets what both ends of a file that was passed share", func() {
		a, b := pair("unix")
		r, _ := pipe()
		Expect(scm.Nonblock(r)).To(BeTrue())
		Expect(a.WriteFiles([]byte("x"), r)).To(Equal(1))
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		f := lentAll(files)[0]
		Expect(scm.Nonblock(f)).To(BeTrue())
		Expect(scm.SetNonblock(f, false)).To(Succeed())
		Expect(scm.Nonblock(f)).To(BeFalse())
		Expect(scm.Nonblock(r)).To(BeFalse(), "the sender's too")
		Expect(scm.SetNonblock(r, true)).To(Succeed())
		Expect(scm.Nonblock(f)).To(BeTrue())
		Expect(scm.Nonblock(a)).To(BeTrue())
	})

	// The sender's change would be lost, and putting O_ASYNC back waits for whoever is inside
	// a call on the socket.
	It("undoes no other change of the status flags", func() {
		a, _ := pair("unix")
		ours := NumberOf(a)
		theirs, err := unix.Dup(ours)
		Expect(err).NotTo(HaveOccurred())
		defer unix.Close(theirs)
		stop := make(chan struct{})
		changes := goes(func() {
			for on := true; ; on = !on {
				select {
				case <-stop:
					return
				default:
					Expect(scm.SetNonblock(a, on)).To(Succeed())
				}
			}
		})
		lost := 0
		for i := range 50_000 {
			want := i % 2 * unix.O_ASYNC
			if _, err = unix.FcntlInt(uintptr(theirs), unix.F_SETFL, want); err != nil {
				break
			}
			flags, err := unix.FcntlInt(uintptr(theirs), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_ASYNC != want {
				lost++
			}
		}
		close(stop)
		changes()
		Expect(err).NotTo(HaveOccurred())
		Expect(lost).To(BeZero())
	})

	It("refuses nil and closed files", func() {
		r, _ := pipe()
		Expect(r.Close()).To(Succeed())
		Expect(Second(scm.Nonblock(nil))).To(MatchError(os.ErrInvalid))
		Expect(Second(scm.Nonblock(withoutRaw{}))).To(MatchError(os.ErrInvalid))
		Expect(Second(scm.Nonblock((*os.File)(nil)))).To(MatchError(os.ErrInvalid))
		Expect(Second(scm.Nonblock(r))).To(MatchError(os.ErrClosed))
		Expect(scm.SetNonblock(nil, true)).To(MatchError(os.ErrInvalid))
		Expect(scm.SetNonblock(r, true)).To(MatchError(os.ErrClosed))
	})
})
