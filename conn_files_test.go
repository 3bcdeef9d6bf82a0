//go:build unix && !aix

package scm_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// isTruncated checks the results of ReadFiles for a message that was truncated.
func isTruncated(n int, files []*os.File, err error, payload int, cause error) *scm.TruncatedError {
	GinkgoHelper()
	closeAllLater(files)
	truncated := errorOf[*scm.TruncatedError](err)
	Expect(truncated.N).To(Equal(payload))
	Expect(n).To(Equal(payload))
	if cause == nil {
		Expect(truncated.Cause).To(BeNil())
	} else {
		Expect(err).To(MatchError(cause))
	}
	return truncated
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("ReadFiles returns files in order, each with its message", func() {
		a, b := pair(network)
		sent := pipes(3)
		Expect(a.WriteFiles([]byte("one"), sent[0])).To(Equal(3))
		Expect(a.Write([]byte("none"))).To(Equal(4))
		Expect(a.WriteFiles([]byte("two"), sent[1], sent[2], sent[1])).To(Equal(3))
		switch {
		case network != "unix":
			receives(b, "one", sent[0])
			receives(b, "none")
			receives(b, "two", sent[1], sent[2], sent[1])
		case runtime.GOOS == "linux":
			receives(b, "one", sent[0])
			receives(b, "nonetwo", sent[1], sent[2], sent[1])
		default: // a receive ends before the first byte of a send with files
			receives(b, "onenone", sent[0])
			receives(b, "two", sent[1], sent[2], sent[1])
		}
	})

	It("a Conn keeps no reference to a file that it sent", func() {
		a, b := pair(network)
		var forgotten atomic.Int32
		const sent = 20
		for range sent {
			r, w := both(os.Pipe())
			runtime.AddCleanup(w, func(int) { forgotten.Add(1) }, 0)
			Expect(a.WriteFiles([]byte("x"), w)).To(Equal(1))
			Expect(r.Close()).To(Succeed())
			Expect(w.Close()).To(Succeed())
			Expect(b.Read(make([]byte, 1))).To(Equal(1))
		}
		Eventually(func() int32 {
			Expect(a.WriteFiles([]byte("y"))).To(Equal(1))
			receives(b, "y")
			runtime.GC()
			return forgotten.Load()
		}).WithTimeout(Hang).Should(BeEquivalentTo(sent))
	})

	It("WriteFiles without a payload sends files if the socket preserves messages, and otherwise fails with ErrEmptyPayload", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		if network == "unix" {
			for _, empty := range [][]byte{nil, {}} {
				step("a nil payload: ", empty == nil)
				Expect(a.WriteFiles(empty)).To(BeZero())
				n, err := a.WriteFiles(empty, f)
				Expect(n).To(BeZero())
				Expect(err).To(opFails("write", scm.ErrEmptyPayload))
				err = Third(b.ReadFiles(empty, 1))
				Expect(err).To(opFails("read", scm.ErrEmptyPayload))
				Expect(err).To(MatchError(HaveSuffix("scm: receiving from a stream socket requires a buffer of at least one byte")))
			}
			hasNothing(b)
			return
		}
		needsEmpty()
		Expect(a.WriteFiles(nil, f)).To(BeZero())
		receives(b, "", f)
		// An empty buffer does not make a message look like the end.
		for _, payload := range []string{"", "hello"} {
			for _, sent := range [][]*os.File{nil, {f}} {
				if payload == "" && sent == nil {
					continue
				}
				Expect(a.WriteFiles([]byte(payload), sent...)).To(Equal(len(payload)))
				n, files := both(b.ReadFiles(nil, 1))
				Expect(n).To(BeZero())
				areSame(closeAllLater(files), sent)
			}
		}
	})

	It("ReadFiles returns queued files before io.EOF, and does not report an empty datagram as the end of the connection", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("too long"), f)).To(Equal(8))
		if network == "unixgram" {
			Expect(a.Write(nil)).To(BeZero())
		} else {
			Expect(a.Close()).To(Succeed())
		}
		p := make([]byte, 8)
		if network == "unix" {
			p = p[:3] // on other sockets the message would be truncated
		}
		n, files, err := b.ReadFiles(p, 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(p[:n])).To(Equal("too long"[:len(p)]))
		areSame(closeAllLater(files), []*os.File{f})
		if network == "unix" {
			receives(b, " long")
		}
		n, files, err = b.ReadFiles(p, 1)
		Expect(n).To(BeZero())
		Expect(files).To(BeNil())
		if network == "unixgram" {
			Expect(err).NotTo(HaveOccurred())
		} else {
			Expect(err).To(BeIdenticalTo(io.EOF))
		}
	})

	It("WriteFiles rejects a closed file", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(w.Close()).To(Succeed())
		n, err := a.WriteFiles([]byte("x"), r, r, w, r)
		Expect(n).To(BeZero())
		Expect(err).To(And(opFails("write", os.ErrClosed), MatchError(ContainSubstring("file 2: "))))
		Expect(err).NotTo(MatchError(net.ErrClosed), "the Conn is open")
		hasNothing(b)
	})

	if network != "unix" {
		It("WriteFiles fails with EMSGSIZE, and sends no files, if the packet is too long", func() {
			a, b := pair(network)
			r, w := pipe()
			Expect(a.WriteFiles(make([]byte, 10<<20), w)).Error().To(opFails("write", unix.EMSGSIZE))
			Expect(w.Close()).To(Succeed())
			noWriterIsLeft(r)
			hasNothing(b)
		})
	}

	It("Send to a full queue waits until a deadline, and loses no message or file", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		m := scm.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{int(f.Fd())}}
		sent := 0
		for a.Send(&m, unix.MSG_DONTWAIT) == nil {
			sent++
		}
		Expect(a.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))).To(Succeed())
		Expect(a.Send(&m, 0)).To(opFails("write", os.ErrDeadlineExceeded))
		for range sent {
			receives(b, "x", f)
		}
		hasNothing(b)
	})

	for name, call := range receiving {
		if call.receives != someFiles {
			continue
		}

		for _, n := range []int{0, 1, 2, 28, scm.MaxFDs} {
			It("WriteFiles and "+name+" pass "+Count(n, "file"), func() {
				a, b := pair(network)
				sent, p := pipes(n), make([]byte, 8)
				Expect(a.WriteFiles([]byte("payload"), sent...)).To(Equal(7))
				got, files := both(call.receive(b, p, scm.MaxFDs))
				areSame(closeAllLater(files), sent)
				Expect(string(p[:got])).To(Equal("payload"))
			})
		}

		for room := range 4 {
			It(name+" with a limit of "+Count(room, "file")+" closes all files of a message that carries 4", func() {
				if room > 0 {
					CannotEmulate(fdtest.NotCut)
				}
				a, b := pair(network)
				r, w := pipe()
				Expect(a.WriteFiles([]byte("xyz"), w, w, w, w)).To(Equal(3))
				Expect(w.Close()).To(Succeed())
				before := fdtest.Take()
				p := make([]byte, 8)
				n, files, err := call.receive(b, p, room)
				truncated := isTruncated(n, files, err, 3, unix.EMSGSIZE)
				Expect([]int{truncated.Received, truncated.Room}).To(Equal([]int{room, room}))
				Expect(err).NotTo(MatchError(io.ErrShortBuffer))
				carried := "more than the " + Count(room, "descriptor")
				if room == 0 {
					carried = "descriptors, but none were"
				}
				Expect(err).To(MatchError("scm: message carried " + carried + " requested"))
				Expect(string(p[:n])).To(Equal("xyz"))
				Expect(files).To(BeNil())
				Expect(before.NewSince()).To(BeEmpty())
				noWriterIsLeft(r)
				Expect(a.Write([]byte("on"))).To(Equal(2), "the conversation goes on")
				receives(b, "on")
			})
		}

		It(name+" reports that a message has lost its files if the descriptor table is full", func() {
			CannotEmulate(fdtest.NotCut)
			a, b := pair(network)
			r, w := pipe()
			Expect(a.WriteFiles([]byte("xyz"), w)).To(Equal(3))
			Expect(w.Close()).To(Succeed())
			empty := FillTable()
			_, _, err := call.receive(b, make([]byte, 8), 3)
			empty()
			errorOf[*scm.TruncatedError](err)
			noWriterIsLeft(r)
		})

		It(name+" with KeepTruncated returns the files received with a truncated message", func() {
			CannotEmulate(fdtest.NotCut)
			a, b := pairWith(scm.Config{KeepTruncated: true}, network)
			sent := pipes(3)
			Expect(a.WriteFiles([]byte("xyz"), sent...)).To(Equal(3))
			n, files, err := call.receive(b, make([]byte, 8), 2)
			truncated := isTruncated(n, files, err, 3, unix.EMSGSIZE)
			Expect([]int{truncated.Received, truncated.Room}).To(Equal([]int{2, 2}))
			Expect(err).To(MatchError("scm: message carried more than the 2 descriptors requested"))
			areSame(files, sent[:2])
		})

		if network != "unix" { // on a stream the rest stays in the socket
			It(name+" closes the files of a message that is longer than the buffer, and with KeepTruncated returns them", func() {
				CannotEmulate(fdtest.NotCut)
				for _, keep := range []bool{false, true} {
					a, b := pairWith(scm.Config{KeepTruncated: keep}, network)
					for _, c := range []struct {
						sent, max, kept int
						text            string
						cause           error // of lost descriptors
					}{
						{0, 0, 0, "", nil},
						{0, 2, 0, " (descriptors: 0 received, 2 requested)", nil},
						{2, 2, 2, " (descriptors: 2 received, 2 requested)", nil},
						{3, 2, 2, ", and carried more than the 2 descriptors requested", unix.EMSGSIZE},
						{1, 0, 0, ", and carried descriptors, but none were requested", unix.EMSGSIZE},
					} {
						step("KeepTruncated: ", keep, "; ", c.sent, " files sent, ", c.max, " requested")
						sent := pipes(c.sent)
						before := fdtest.Take()
						Expect(a.WriteFiles([]byte("longer"), sent...)).To(Equal(6))
						p := make([]byte, 5)
						n, files, err := call.receive(b, p, c.max)
						Expect(string(p[:n])).To(Equal("longe"))
						truncated := isTruncated(n, files, err, 5, io.ErrShortBuffer)
						Expect([]int{truncated.Received, truncated.Room}).To(Equal([]int{c.kept, c.max}))
						if c.cause != nil {
							Expect(err).To(MatchError(c.cause))
						} else {
							Expect(err).NotTo(MatchError(unix.EMSGSIZE))
						}
						if keep {
							areSame(files, sent[:c.kept])
						} else {
							Expect(files).To(BeNil())
							Expect(before.NewSince()).To(BeEmpty())
						}
						Expect(err).To(MatchError("scm: message was longer than the 5-byte buffer" + c.text))
						Expect(a.Write([]byte("after"))).To(Equal(5), "the conversation goes on")
						receives(b, "after")
					}
					Expect(a.WriteFiles([]byte("exact"))).To(Equal(5))
					Expect(Third(call.receive(b, make([]byte, 5), 1))).To(Succeed())
				}
			})
		}
	}

	if network != "unix" {
		It("ReadFiles reports a message longer than the buffer before it checks Config.Expect", func() {
			a, b := pairWith(scm.Config{Expect: &scm.Expect{Max: 1, Kind: scm.KindSocket}}, network)
			Expect(a.WriteFiles([]byte("longer"), pipes(1)[0])).To(Equal(6))
			n, files, err := b.ReadFiles(make([]byte, 5), 1)
			isTruncated(n, files, err, 5, io.ErrShortBuffer)
			Expect(files).To(BeNil())
		})

		It("ReadFiles with KeepTruncated checks Config.Expect before it returns files of a message longer than the buffer", func() {
			config := scm.Config{KeepTruncated: true, Expect: &scm.Expect{Max: 1, Kind: scm.KindSocket}}
			a, b := pairWith(config, network)
			Expect(a.WriteFiles([]byte("longer"), pipes(1)[0])).To(Equal(6))
			_, files, err := b.ReadFiles(make([]byte, 5), 1)
			Expect(files).To(BeNil())
			Expect(errorOf[*scm.ExpectError](err)).To(MatchError(HavePrefix("scm: wanted a socket, got a pipe (")))
		})
	}

	It("ReadFDs returns the same errors as ReadFiles, and io.EOF at the end of the connection", func() {
		a, b := pair(network)
		Expect(Third(b.ReadFDs(make([]byte, 1), make([]int, scm.MaxFDs+1)))).To(opFails("read", scm.ErrTooManyFDs))
		if network == "unix" {
			Expect(Third(b.ReadFDs(nil, make([]int, 1)))).To(opFails("read", scm.ErrEmptyPayload))
		} else {
			needsEmpty()
			Expect(a.WriteFiles(nil, pipes(1)...)).To(BeZero())
			fds := make([]int, 1)
			n, nfd, err := b.ReadFDs(nil, fds)
			Expect([]int{n, nfd}, err).To(Equal([]int{0, 1}))
			scm.CloseFDs(fds...)
		}
		if network == "unixgram" {
			Expect(a.Write(nil)).To(BeZero())
			n, nfd, err := b.ReadFDs(make([]byte, 1), make([]int, 1))
			Expect([]int{n, nfd}, err).To(Equal([]int{0, 0}))
			return
		}
		Expect(a.Close()).To(Succeed())
		n, nfd, err := b.ReadFDs(make([]byte, 1), make([]int, 1))
		Expect([]int{n, nfd}).To(Equal([]int{0, 0}))
		Expect(err).To(BeIdenticalTo(io.EOF))
	})
}, everyNetwork)
