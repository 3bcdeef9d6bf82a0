//go:build linux

package scm_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// receives checks that the next message is payload with the files that were sent.
func receives(c *scm.Conn, payload string, sent ...*os.File) {
	GinkgoHelper()
	p := make([]byte, len(payload)+1)
	n, files, err := c.ReadFiles(p, scm.MaxFDs)
	lentAll(files)
	Expect(err).NotTo(HaveOccurred())
	Expect(string(p[:n])).To(Equal(payload))
	areSame(files, sent)
}

// isTruncated checks what a ReadFiles that lost files returned.
func isTruncated(n int, files []*os.File, err error, payload int, cause error) {
	GinkgoHelper()
	lentAll(files)
	var truncated *scm.TruncatedError
	Expect(errors.As(err, &truncated)).To(BeTrue(), "%v", err)
	Expect(truncated.N).To(Equal(payload))
	Expect(n).To(Equal(payload))
	Expect(truncated.Files).To(Equal(files))
	if cause == nil {
		Expect(truncated.Cause).To(BeNil())
	} else {
		Expect(err).To(MatchError(cause))
	}
}

var _ = DescribeTableSubtree("Conn's files", func(network string) {
	for _, n := range []int{0, 1, 2, 3, 28, scm.MaxFDs} {
		It("are passed, "+strconv.Itoa(n)+" of them", func() {
			a, b := pair(network)
			sent := pipes(n)
			Expect(a.WriteFiles([]byte("payload"), sent...)).To(Equal(7))
			receives(b, "payload", sent...)
		})
	}

	It("are passed in order, each with its message", func() {
		a, b := pair(network)
		sent := pipes(3)
		Expect(a.WriteFiles([]byte("one"), sent[0])).To(Equal(3))
		Expect(a.Write([]byte("none"))).To(Equal(4))
		Expect(a.WriteFiles([]byte("two"), sent[1], sent[2], sent[1])).To(Equal(3))
		receives(b, "one", sent[0])
		if network == "unix" {
			receives(b, "nonetwo", sent[1], sent[2], sent[1])
		} else {
			receives(b, "none")
			receives(b, "two", sent[1], sent[2], sent[1])
		}
	})

	It("are of every kind, the socket itself among them", func() {
		a, b := pair(network)
		dir, err := os.Open("/")
		Expect(err).NotTo(HaveOccurred())
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		Expect(err).NotTo(HaveOccurred())
		path, err := os.OpenFile("/", unix.O_PATH, 0)
		Expect(err).NotTo(HaveOccurred())
		self, err := unix.Dup(NumberOf(a))
		Expect(err).NotTo(HaveOccurred())
		sent := []*os.File{lent(dir), lent(null), lent(path), lent(os.NewFile(uintptr(self), "self"))}
		Expect(a.WriteFiles([]byte("x"), sent...)).To(Equal(1))
		receives(b, "x", sent...)
	})

	It("are the receiver's, and work", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		_, files, err := b.ReadFiles(make([]byte, 1), 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(files[0].WriteString("through")).To(Equal(7))
		Expect(files[0].Close()).To(Succeed())
		Expect(io.ReadAll(r)).To(BeEquivalentTo("through"))
	})

	It("are forgotten once they were sent", func() {
		a, b := pair(network)
		var forgotten atomic.Int32
		const sent = 20
		for range sent {
			r, w, err := os.Pipe()
			Expect(err).NotTo(HaveOccurred())
			runtime.AddCleanup(w, func(int) { forgotten.Add(1) }, 0)
			Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
			Expect(r.Close()).To(Succeed())
			Expect(w.Close()).To(Succeed())
			Expect(b.Read(make([]byte, 1))).To(Equal(1))
		}
		Eventually(func() int32 {
			Expect(a.Write([]byte("y"))).To(Equal(1))
			Expect(b.Read(make([]byte, 1))).To(Equal(1))
			runtime.GC()
			return forgotten.Load()
		}).WithTimeout(Hang).Should(BeEquivalentTo(sent))
	})

	It("keep their blocking mode, and so do the sockets, at both ends", func() {
		a, b := pair(network)
		nonblocking, _ := pipe()
		var p [2]int
		Expect(unix.Pipe2(p[:], unix.O_CLOEXEC)).To(Succeed())
		blocking := lent(os.NewFile(uintptr(p[0]), "blocking"))
		lent(os.NewFile(uintptr(p[1]), "blocking"))

		all := []syscall.Conn{a, b, nonblocking, blocking}
		var before []int
		for _, c := range all {
			before = append(before, statusOf(c))
		}
		Expect(before[2] & unix.O_NONBLOCK).NotTo(BeZero())
		Expect(before[3] & unix.O_NONBLOCK).To(BeZero())

		Expect(a.WriteFiles([]byte("x"), nonblocking, blocking)).To(Equal(1))
		_, files, err := b.ReadFiles(make([]byte, 1), 2)
		Expect(err).NotTo(HaveOccurred())
		lentAll(files)
		var after []int
		for _, c := range all {
			after = append(after, statusOf(c))
		}
		Expect(after).To(Equal(before))
		Expect(scm.Nonblock(files[0])).To(BeTrue())
		Expect(scm.Nonblock(files[1])).To(BeFalse())
		Expect(files[0].SetDeadline(time.Time{})).To(Succeed(), "it is in the poller")
	})

	if network != "unix" {
		It("and bytes for which there is no room are not the end", func() {
			a, b := pair(network)
			for _, sent := range [][]*os.File{nil, pipes(1)} {
				Expect(a.WriteFiles([]byte("hello"), sent...)).To(Equal(5))
				n, files, err := b.ReadFiles(nil, 1)
				Expect(err).NotTo(HaveOccurred())
				Expect(n).To(BeZero())
				areSame(lentAll(files), sent)
			}
		})
	}

	It("come with an empty message where there are messages, and nowhere else", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		n, err := a.WriteFiles(nil, f)
		if network == "unix" {
			Expect(n).To(BeZero())
			Expect(err).To(opFails("write", scm.ErrEmptyPayload))
			Expect(Second(a.WriteFiles([]byte{}, f))).To(MatchError(scm.ErrEmptyPayload))
			Expect(a.WriteFiles(nil)).To(BeZero())
			Expect(Third(b.ReadFiles(nil, 1))).To(opFails("read", scm.ErrEmptyPayload))
			Expect(a.Write([]byte("x"))).To(Equal(1))
			receives(b, "x")
			return
		}
		Expect(err).NotTo(HaveOccurred())
		receives(b, "", f)
		Expect(a.WriteFiles(nil, f)).To(BeZero())
		n, files, err := b.ReadFiles(nil, 1)
		lentAll(files)
		Expect(err).NotTo(HaveOccurred())
		Expect(n).To(BeZero())
		areSame(files, []*os.File{f})
	})

	It("are told from the end", func() {
		a, b := pair(network)
		if network == "unixgram" {
			Expect(a.Write(nil)).To(BeZero())
			n, files, err := b.ReadFiles(make([]byte, 1), 1)
			Expect(err).NotTo(HaveOccurred())
			Expect(n).To(BeZero())
			Expect(files).To(BeNil())
			return
		}
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		Expect(a.Close()).To(Succeed())
		receives(b, "x", f)
		Expect(Third(b.ReadFiles(make([]byte, 1), 1))).To(BeIdenticalTo(io.EOF))
	})

	It("are not sent, nil or closed", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(w.Close()).To(Succeed())
		n, err := a.WriteFiles([]byte("x"), r, nil)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", os.ErrInvalid))
		Expect(err).To(MatchError(ContainSubstring("file 1")))
		n, err = a.WriteFiles([]byte("x"), r, r, w, r)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", os.ErrClosed))
		Expect(err).NotTo(MatchError(net.ErrClosed), "the Conn is open")
		Expect(err).To(MatchError(ContainSubstring("file 2")))
		Expect(a.Write([]byte("after"))).To(Equal(5))
		receives(b, "after")
	})

	It("are at most 253, sent or received", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		many := make([]*os.File, scm.MaxFDs+1)
		for i := range many {
			many[i] = f
		}
		n, err := a.WriteFiles([]byte("x"), many...)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", scm.ErrTooManyFDs))
		Expect(Third(b.ReadFiles(make([]byte, 1), scm.MaxFDs+1))).To(opFails("read", scm.ErrTooManyFDs))
		Expect(Third(b.ReadFiles(make([]byte, 1), -1))).To(opFails("read", unix.EINVAL))
		Expect(a.WriteFiles([]byte("x"), many[1:]...)).To(Equal(1))
		receives(b, "x", many[1:]...)
	})

	if network != "unix" {
		It("are neither sent nor lost with a message that is too large", func() {
			a, b := pair(network)
			r, w := pipe()
			n, err := a.WriteFiles(make([]byte, 10<<20), w)
			Expect(n).To(BeZero())
			Expect(err).To(opFails("write", unix.EMSGSIZE))
			Expect(w.WriteString("mine")).To(Equal(4))
			Expect(w.Close()).To(Succeed())
			Expect(io.ReadAll(r)).To(BeEquivalentTo("mine"), "then the end: nobody else has the writing end")
			Expect(a.Write([]byte("after"))).To(Equal(5))
			receives(b, "after")
		})
	}

	It("are neither sent nor lost when the other end is closed", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(b.Close()).To(Succeed())
		n, err := a.WriteFiles([]byte("x"), w)
		Expect(n).To(BeZero())
		if network == "unixgram" {
			Expect(err).To(opFails("write", unix.ECONNREFUSED))
		} else {
			Expect(err).To(opFails("write", unix.EPIPE))
		}
		Expect(w.Close()).To(Succeed())
		noWriterIsLeft(r)
	})

	It("can be closed while the call waits, and then are not sent", func() {
		a, b := pair(network)
		fill(a)

		r, w := pipe()
		wait := goes(func() {
			n, err := a.WriteFiles([]byte("last"), r, w)
			Expect(n).To(BeZero())
			Expect(err).To(opFails("write", os.ErrClosed))
			Expect(err).NotTo(MatchError(net.ErrClosed), "the Conn is open")
		})
		waitsIn("WriteFiles", 1)
		Expect(w.Close()).To(Succeed(), "nothing is held while the call waits")
		noWriterIsLeft(r)
		drain(b)
		wait()
	})

	It("go or do not go when they are closed at the same time, and no others in their place", func() {
		CannotEmulate(fdtest.OwnFiles)
		a, b := pair(network)
		other, _ := pipe()
		for range 300 {
			r, w, err := os.Pipe()
			Expect(err).NotTo(HaveOccurred())
			number, want := NumberOf(w), fdtest.Name(NumberOf(w))
			ready := make(chan struct{})
			wait := goes(func() {
				<-ready
				Expect(w.Close()).To(Succeed())
				Expect(unix.Dup3(NumberOf(other), number, unix.O_CLOEXEC)).To(Succeed())
			})
			close(ready)
			n, err := a.WriteFiles([]byte("x"), r, w)
			wait()
			Expect(unix.Close(number)).To(Succeed())
			Expect(r.Close()).To(Succeed())
			if err != nil {
				Expect(n).To(BeZero())
				Expect(err).To(MatchError(os.ErrClosed))
				continue
			}
			_, files, err := b.ReadFiles(make([]byte, 1), 2)
			Expect(err).NotTo(HaveOccurred())
			Expect(files).To(HaveLen(2))
			for _, f := range files {
				Expect(fdtest.Name(NumberOf(f))).To(Equal(want), "the two ends have one name")
				Expect(f.Close()).To(Succeed())
			}
		}
	})

	Describe("of which there are more than room", func() {
		for _, room := range []int{0, 1, 2, 3} {
			It("are all closed, and it is told, with room for "+strconv.Itoa(room), func() {
				if room > 0 {
					CannotEmulate(fdtest.NotCut)
				}
				a, b := pair(network)
				r, w := pipe()
				Expect(a.WriteFiles([]byte("xyz"), w, w, w, w)).To(Equal(3))
				Expect(w.Close()).To(Succeed())
				before := fdtest.Take()
				p := make([]byte, 8)
				n, files, err := b.ReadFiles(p, room)
				isTruncated(n, files, err, 3, unix.EMSGSIZE)
				Expect(string(p[:n])).To(Equal("xyz"))
				Expect(files).To(BeNil())
				Expect(before.NewSince()).To(BeEmpty())
				noWriterIsLeft(r)
				Expect(a.Write([]byte("on"))).To(Equal(2), "the conversation goes on")
				receives(b, "on")
			})
		}

		It("are delivered as far as they came, by option", func() {
			CannotEmulate(fdtest.NotCut)
			a, b := pairWith(scm.Config{KeepTruncated: true}, network)
			sent := pipes(3)
			Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
			n, files, err := b.ReadFiles(make([]byte, 8), 2)
			isTruncated(n, files, err, 3, unix.EMSGSIZE)
			areSame(files, sent[:2])
		})
	})

	for _, free := range []int{0, 1, 3} {
		It("are told missing where the table has room for "+strconv.Itoa(free)+" of 4", func() {
			RunChild(ChildCommand("conn-nofile", network, strconv.Itoa(free)))
		})
	}

	for place := range 3 {
		It("are the first ones up to one of which no file can be made, number "+strconv.Itoa(place)+" of 3", func() {
			RunChild(ChildCommand("conn-nofile-order", network, strconv.Itoa(place)))
		})
	}

	It("are told missing, for no known reason, where credentials took their room", func() {
		a, b := pair(network)
		Expect(scm.PassCred(NumberOf(b), true)).To(Succeed())
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		n, files, err := b.ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, nil)
		noWriterIsLeft(r)
	})

	It("are refused by the kernel where a receiver wants none", func() {
		a, b := pair(network)
		config := scm.Config{NoFiles: true}
		strict, err := config.NewConn(b)
		if errors.Is(err, scm.ErrUnsupported) {
			Skip("SO_PASSRIGHTS is from Linux 6.16: " + err.Error())
		}
		Expect(err).NotTo(HaveOccurred())
		closing(strict)
		f := pipes(1)[0]
		n, err := a.WriteFiles([]byte("x"), f)
		Expect(n).To(BeZero())
		Expect(err).To(opFails("write", unix.EPERM))
		Expect(a.Write([]byte("plain"))).To(Equal(5))
		receives(strict, "plain")
		Expect(strict.WriteFiles([]byte("x"), f)).To(Equal(1), "the other direction is not concerned")
		receives(a, "x", f)
	})
}, everyNetwork)

// fill writes until a call would wait.
func fill(c *scm.Conn) {
	GinkgoHelper()
	raw, err := c.SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	Expect(raw.Control(func(fd uintptr) {
		for _, size := range []int{1000, 1} {
			for {
				if _, err := unix.Write(int(fd), make([]byte, size)); err != nil {
					break
				}
			}
		}
	})).To(Succeed())
}

// drain reads until nothing is there.
func drain(c *scm.Conn) {
	GinkgoHelper()
	raw, err := c.SyscallConn()
	Expect(err).NotTo(HaveOccurred())
	Expect(raw.Control(func(fd uintptr) {
		for {
			if _, err := unix.Read(int(fd), make([]byte, 1<<16)); err != nil {
				break
			}
		}
	})).To(Succeed())
}

var _ = Child("conn-nofile", func(args []string) {
	free, err := strconv.Atoi(args[1])
	Expect(err).NotTo(HaveOccurred())
	for _, keep := range []bool{false, true} {
		a, b, err := scm.Config{KeepTruncated: keep}.Pair(args[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(a.SetDeadline(time.Now().Add(Hang))).To(Succeed())
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(a.WriteFiles([]byte("xyz"), w, w, w, w)).To(Equal(3))
		var n int
		var files []*os.File
		withFree(free, func() { n, files, err = b.ReadFiles(make([]byte, 8), 8) })
		var truncated *scm.TruncatedError
		Expect(errors.As(err, &truncated)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(unix.EMFILE))
		Expect(n).To(Equal(3))
		if keep {
			Expect(files).To(HaveLen(free))
		} else {
			Expect(files).To(BeNil())
		}
		for _, f := range files {
			Expect(f.Close()).To(Succeed())
		}
		Expect(w.Close()).To(Succeed())
		Expect(io.ReadAll(r)).To(BeEmpty())
		Expect(a.Write([]byte("on"))).To(Equal(2))
		Expect(b.Read(make([]byte, 8))).To(Equal(2))
		for _, c := range []io.Closer{a, b, r} {
			Expect(c.Close()).To(Succeed())
		}
	}
})

// A file that is no pipe takes one number more while it is received.
var _ = Child("conn-nofile-order", func(args []string) {
	place, err := strconv.Atoi(args[1])
	Expect(err).NotTo(HaveOccurred())
	a, b, err := scm.Config{KeepTruncated: true}.Pair(args[0])
	Expect(err).NotTo(HaveOccurred())
	Expect(a.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	var sent, kept []*os.File
	for i := range 3 {
		r, w, err := os.Pipe()
		Expect(err).NotTo(HaveOccurred())
		kept = append(kept, r)
		if i == place {
			Expect(w.Close()).To(Succeed())
			w, err = os.Open("/")
			Expect(err).NotTo(HaveOccurred())
		}
		sent = append(sent, w)
	}
	Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
	var n int
	var files []*os.File
	withFree(len(sent), func() { n, files, err = b.ReadFiles(make([]byte, 8), len(sent)) })
	var truncated *scm.TruncatedError
	Expect(errors.As(err, &truncated)).To(BeTrue(), "%v", err)
	Expect(err).To(MatchError(unix.EMFILE))
	Expect(n).To(Equal(3))
	Expect(truncated.Files).To(Equal(files))
	areSame(files, sent[:place])
	for _, f := range append(files, sent...) {
		Expect(f.Close()).To(Succeed())
	}
	for _, r := range kept {
		Expect(io.ReadAll(r)).To(BeEmpty(), "no descriptor of the other end is open")
		Expect(r.Close()).To(Succeed())
	}
	for _, c := range []io.Closer{a, b} {
		Expect(c.Close()).To(Succeed())
	}
})
