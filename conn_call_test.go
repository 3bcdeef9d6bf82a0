//go:build linux

package scm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A stream can accept a payload in pieces. The first piece carries the descriptors.

const tenMegabytes = 10 << 20

// paged returns n bytes in which no two adjacent pages are equal.
func paged(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i%251 + i>>12)
	}
	return p
}

// narrow makes a stream with the smallest possible buffers.
func narrow() (a, b *scm.Conn) {
	GinkgoHelper()
	a, b = pair("unix")
	for _, c := range []*scm.Conn{a, b} {
		Expect(c.SetWriteBuffer(0)).To(Succeed())
		Expect(c.SetReadBuffer(0)).To(Succeed())
	}
	Expect(unix.GetsockoptInt(FDOf(a), unix.SOL_SOCKET, unix.SO_SNDBUF)).To(BeNumerically("<", 8192))
	return a, b
}

// receiveAll receives until the end. with is the number of receives that returned files, and before the number of
// bytes received before the last of them.
func receiveAll(c *scm.Conn) (payload []byte, files []*os.File, before, with int) {
	GinkgoHelper()
	p := make([]byte, 1<<16)
	for {
		n, received, err := c.ReadFiles(p, scm.MaxFDs)
		closeAllLater(received)
		if err != nil {
			Expect(err).To(BeIdenticalTo(io.EOF))
			return payload, files, before, with
		}
		if len(received) > 0 {
			with, before = with+1, len(payload)
		}
		payload, files = append(payload, p[:n]...), append(files, received...)
		Expect(len(files)).To(BeNumerically("<=", scm.MaxFDs))
	}
}

var _ = Describe("on a stream with a small buffer,", func() {
	It("WriteFiles sends 10 MiB in order, and the 253 files only once", func() {
		a, b := narrow()
		sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
		wait := start(func() {
			Expect(a.WriteFiles(payload, sent...)).To(Equal(tenMegabytes))
			Expect(a.CloseWrite()).To(Succeed())
		})
		got, files, before, with := receiveAll(b)
		wait()
		Expect(bytes.Equal(got, payload)).To(BeTrue(), "%d bytes were received", len(got))
		Expect([]int{before, with}).To(Equal([]int{0, 1}))
		areSame(files, sent)
	})

	It("payloads of concurrent WriteFiles and Write calls do not mix", func() {
		a, b := narrow()
		const writers, size = 8, 100_000
		f := pipes(1)[0]
		var waits []func()
		for i := range writers {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			waits = append(waits, start(func() {
				if i%2 == 0 {
					Expect(a.Write(p)).To(Equal(size))
				} else {
					Expect(a.WriteFiles(p, f)).To(Equal(size))
				}
			}))
		}
		closed := start(func() {
			for _, wait := range waits {
				wait()
			}
			Expect(a.CloseWrite()).To(Succeed())
		})
		got, files, _, _ := receiveAll(b)
		closed()
		Expect(got).To(HaveLen(writers * size))
		for i := 0; i < len(got); i += size {
			Expect(got[i : i+size]).To(Equal(bytes.Repeat(got[i:i+1], size)))
		}
		Expect(files).To(HaveLen(writers / 2))
	})

	for _, c := range []struct {
		what string
		end  func(a, b *scm.Conn) error
		want error
	}{
		{"the deadline", func(a, _ *scm.Conn) error { return a.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"Close", func(a, _ *scm.Conn) error { return a.Close() }, net.ErrClosed},
		{"the other end's Close", func(_, b *scm.Conn) error { return b.Close() }, unix.EPIPE},
	} {
		It("WriteFiles has sent the files, and returns the number of bytes sent, when "+c.what+" stops it", func() {
			a, b := narrow()
			sent, payload := pipes(scm.MaxFDs), paged(tenMegabytes)
			n := 0
			wait := start(func() {
				var err error
				n, err = a.WriteFiles(payload, sent...)
				Expect(err).To(opFails("write", c.want))
			})
			waitsIn("WriteFiles", 1)
			// A part is read, so that the write continues and waits again.
			got := make([]byte, 100_000)
			count, files := both(b.ReadFiles(got, scm.MaxFDs))
			areSame(closeAllLater(files), sent)
			Expect(io.ReadFull(b, got[count:])).To(Equal(len(got) - count))
			waitsIn("WriteFiles", 1)
			Expect(c.end(a, b)).To(Succeed())
			wait()
			Expect(n).To(And(BeNumerically(">=", len(got)), BeNumerically("<", tenMegabytes)))
			if c.want == unix.EPIPE {
				return
			}
			finish := func() {}
			if c.want == os.ErrDeadlineExceeded { // the caller sends the rest, without the files
				Expect(a.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
				finish = start(func() {
					Expect(a.Write(payload[n:])).To(Equal(tenMegabytes - n))
					Expect(a.CloseWrite()).To(Succeed())
				})
			} else {
				payload = payload[:n]
			}
			rest, files, _, _ := receiveAll(b)
			finish()
			Expect(bytes.Equal(append(got, rest...), payload)).To(BeTrue())
			Expect(files).To(BeEmpty())
		})
	}

	// A stream accepts a message of any size while its buffer is not full: after these bytes it accepts one more.
	almostFull := func() (a, b *scm.Conn, bytes int) {
		GinkgoHelper()
		a, b = narrow()
		from, to := FDOf(a), FDOf(b)
		for most := 0; ; most++ {
			if _, err := unix.Write(from, []byte("x")); err != nil {
				Expect(err).To(MatchError(unix.EAGAIN))
				Expect(unix.Read(to, make([]byte, most+1))).To(Equal(most))
				for range most - 1 {
					Expect(unix.Write(from, []byte("x"))).To(Equal(1))
				}
				return a, b, most - 1
			}
		}
	}

	DescribeTable("SendFile fails with io.ErrShortWrite if it has sent the file but only part of the name",
		func(end func(a, b *scm.Conn) error, timeout bool, causes ...error) {
			caused := func(err error) bool {
				return slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) })
			}
			a, b, before := almostFull()
			to, f := FDOf(b), pipes(1)[0]
			wait := start(func() {
				err := a.SendFile(strings.Repeat("n", 4095), f)
				Expect(err).To(And(opFails("write", io.ErrShortWrite), Satisfy(caused)))
				Expect(err.(net.Error).Timeout()).To(Equal(timeout))
				Expect(err.Error()).To(MatchRegexp("sent the file but only [0-9]+ of 4095 bytes of its name: "))
			})
			queued := func() (uint32, error) { return unix.IoctlGetUint32(to, unix.TIOCINQ) }
			Eventually(queued).WithTimeout(Hang).Should(BeNumerically(">", before))
			Expect(end(a, b)).To(Succeed())
			wait()

			// Nothing of this one is sent.
			err := a.SendFile("name", f)
			Expect(err).To(Satisfy(caused))
			Expect(err).NotTo(MatchError(io.ErrShortWrite))
		},
		Entry("when the partner closes the connection", func(_, b *scm.Conn) error { return b.Close() }, false, unix.EPIPE, unix.ECONNRESET),
		Entry("when a deadline passes", func(a, _ *scm.Conn) error { return a.SetWriteDeadline(time.Unix(1, 0)) }, true, os.ErrDeadlineExceeded),
	)
})

// For each file, a Conn allocates as much as package os: once for a file that it sends, and twice for one that it
// receives. It also allocates a slice of the received files.
var _ = DescribeTableSubtree("on", func(network string) {
	BeforeEach(func() {
		if hasRaceDetector() {
			Skip("with the race detector a sync.Pool forgets at random")
		}
	})

	It("Conn.Write and Conn.Read do not allocate", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.Write(p)
			m, err2 := b.Read(p)
			return n == 16 && err == nil && m == 16 && err2 == nil
		})).To(BeZero())
	})

	It("WriteFiles and ReadFiles do not allocate if they pass no files", func() {
		a, b := pair(network)
		p := make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.WriteFiles(p)
			m, files, err2 := b.ReadFiles(p, 8)
			return n == 16 && err == nil && m == 16 && files == nil && err2 == nil
		})).To(BeZero())
	})

	It("Conn.Send and Conn.Recv do not allocate", func() {
		a, b := pair(network)
		r, _ := pipe()
		fd := FDOf(r)
		m := scm.Message{Buffers: [][]byte{make([]byte, 16)}, FDs: make([]int, 1)}
		Expect(allocations(func() bool {
			m.FDs[0] = fd
			return a.Send(&m, 0) == nil && b.Recv(&m, 0) == nil && m.NFD == 1 && closeAll(m.FDs)
		})).To(BeZero())
	})

	It("WriteFDs and ReadFDs do not allocate if the descriptors are on the stack", func() {
		a, b := pair(network)
		r, _ := pipe()
		fd, p := FDOf(r), make([]byte, 16)
		Expect(allocations(func() bool {
			n, err := a.WriteFDs(p, fd, fd)
			var fds [4]int
			m, nfd, err2 := b.ReadFDs(p, fds[:])
			ok := n == 16 && err == nil && m == 16 && nfd == 2 && err2 == nil
			scm.CloseFDs(fds[:nfd]...)
			return ok
		})).To(BeZero())
	})

	for _, n := range []int{1, 10, scm.MaxFDs} {
		It("passing "+Count(n, "file")+" allocates nothing beyond what package os allocates and the path for statx", func() {
			a, b := pair(network)
			r, _ := pipe()
			files := make([]*os.File, n)
			for i := range files {
				files[i] = r
			}
			p := make([]byte, 1)
			hold := allocations(func() bool { // none since Go 1.26
				raw, err := r.SyscallConn()
				return err == nil && raw.Control(func(uintptr) {}) == nil
			}) * float64(n)
			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				n, err2 := b.Read(p)
				return err == nil && n == 1 && err2 == nil
			})).To(Equal(hold), "to send them")

			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				_, received, err2 := b.ReadFiles(p, n)
				for _, f := range received {
					_ = f.Close()
				}
				return err == nil && err2 == nil && len(received) == n
			})).To(BeNumerically("<=", hold+float64(3*n+2)), "to send and receive them")
		})
	}
}, everyNetwork)

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

var _ = DescribeTableSubtree("on", func(network string) {
	past := time.Unix(1, 0)

	DescribeTable("calls that wait on a Conn end when a deadline is set or the Conn is closed", func(nonblocking bool) {
		for want, end := range map[error]func(c *scm.Conn) error{
			os.ErrDeadlineExceeded: func(c *scm.Conn) error { return c.SetDeadline(past) },
			net.ErrClosed:          (*scm.Conn).Close,
		} {
			_, b := pair(network)
			fill(b)
			Expect(scm.SetNonblock(b, nonblocking)).To(Succeed())
			f := pipes(1)[0]
			var waits []func()
			for name, call := range receiving {
				waits = append(waits, start(func() { Expect(call.one(b)).To(opFails("read", want), name) }))
			}
			for name, call := range sending {
				step(name)
				waits = append(waits, start(func() { Expect(call.send(b, f)).To(opFails("write", want), name) }))
			}
			waitsIn("RawRead", 1) // the other calls wait for these two
			waitsIn("RawWrite", 1)
			Expect(end(b)).To(Succeed())
			for _, wait := range waits {
				wait()
			}
		}
	},
		Entry("while its socket is non-blocking", true),
		Entry("after a child process made its socket blocking", false),
	)

	It("calls on a Conn whose deadline has passed neither send nor receive anything", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(a.SetWriteDeadline(past)).To(Succeed())
		Expect(b.SetReadDeadline(past)).To(Succeed())
		for name, call := range sending {
			err := call.send(a, f)
			Expect(err).To(opFails("write", os.ErrDeadlineExceeded), name)
			Expect(errorOf[net.Error](err).Timeout()).To(BeTrue())
		}
		for name, call := range receiving {
			Expect(call.one(b)).To(opFails("read", os.ErrDeadlineExceeded), name)
		}
		Expect(b.SetReadDeadline(time.Now().Add(Hang))).To(Succeed())
		receives(b, "x")
		hasNothing(b)
	})

	It("ReadFiles still waits after an interrupted recvmmsg has left error 512 (ERESTARTSYS) on the socket", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		Expect(a.Write([]byte("x"))).To(Equal(1))
		Expect(scm.SetNonblock(b, false)).To(Succeed())
		leavesRestartSys(FDOf(b))
		Expect(scm.SetNonblock(b, true)).To(Succeed())
		reads := start(func() { receives(b, "y", f) })
		waitsIn("ReadFiles", 1)
		Expect(a.WriteFiles([]byte("y"), f)).To(Equal(1))
		reads()
	})

	It("WriteFiles does not send files that are closed while it waits", func() {
		a, b := pair(network)
		fill(a)
		r, w := pipe()
		wait := start(func() {
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

	It("WriteFiles never sends a file that reuses the descriptor of one that is being closed", func() {
		CannotEmulate(fdtest.OwnFiles)
		a, b := pair(network)
		other, _ := pipe()
		for round := range 300 {
			step("round ", round)
			r, w := both(os.Pipe())
			number, want := FDOf(w), fdtest.Name(FDOf(w))
			ready := make(chan struct{})
			wait := start(func() {
				<-ready
				Expect(w.Close()).To(Succeed())
				Expect(unix.Dup3(FDOf(other), number, unix.O_CLOEXEC)).To(Succeed())
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
			_, files := both(b.ReadFiles(make([]byte, 1), 2))
			Expect(files).To(HaveLen(2))
			for _, f := range files {
				Expect(fdtest.Name(FDOf(f))).To(Equal(want), "the two ends have one name")
				Expect(f.Close()).To(Succeed())
			}
		}
	})

	It("Conn.Send and Recv with MSG_DONTWAIT return EAGAIN instead of waiting, even for another call", func() {
		a, b := pair(network)
		in := scm.Message{Buffers: [][]byte{make([]byte, 1)}, N: 7}
		wouldWait := And(opFails("read", unix.EAGAIN), MatchError(ContainSubstring("recvmsg")))
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(wouldWait)
		Expect(in.N).To(BeZero())
		reads := start(func() { receives(b, "x") })
		waitsIn("ReadFiles", 1)
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(wouldWait)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		reads()
		Expect(a.Write([]byte("y"))).To(Equal(1))
		Expect(b.Recv(&in, unix.MSG_DONTWAIT)).To(Succeed())
		Expect(in.N).To(Equal(1))

		fill(a)
		out := scm.Message{Buffers: [][]byte{[]byte("x")}, N: 7}
		Expect(a.Send(&out, unix.MSG_DONTWAIT)).To(And(opFails("write", unix.EAGAIN), MatchError(ContainSubstring("sendmsg"))))
		Expect(out.N).To(BeZero())
	})
}, everyNetwork)

// A send to a datagram socket whose queue is full is EAGAIN, although the poller reports that the sender's socket
// is writable.

// fullQueue makes a datagram socket with a full queue, a sender that is connected to it or sends to its name, and
// the message to send.
func fullQueue(connected bool) (receiver, sender *scm.Conn, m *scm.Message) {
	GinkgoHelper()
	ctx, name := context.Background(), AbstractName()
	receiver = ok(scm.ListenPacket(ctx, "unixgram", name))
	m = &scm.Message{Buffers: [][]byte{[]byte("x")}}
	if connected {
		sender = ok(scm.Dial(ctx, "unixgram", name))
	} else {
		m.Addr = receiver.LocalAddr().(*net.UnixAddr)
		sender = ok(scm.ListenPacket(ctx, "unixgram", AbstractName()))
	}
	fillQueue(sender, m)
	return receiver, sender, m
}

func fillQueue(sender *scm.Conn, m *scm.Message) {
	GinkgoHelper()
	var err error
	for err == nil {
		err = sender.Send(m, unix.MSG_DONTWAIT)
	}
	Expect(err).To(opFails("write", unix.EAGAIN))
}

var _ = DescribeTableSubtree("on", func(connected bool) {
	It("Send to a full queue waits until the receiver reads, a deadline passes, or the Conn is closed", func() {
		checkNoLeak()
		receiver, sender, m := fullQueue(connected)
		withDeadline(receiver)
		withDeadline(sender)
		sends := func(matcher types.GomegaMatcher) (wait func()) {
			wait = start(func() { Expect(sender.Send(m, 0)).To(matcher) })
			waitsIn("Send", 1)
			return wait
		}
		m.Buffers[0][0] = 'y'
		sent := sends(Succeed())
		for p := []byte{0}; p[0] != 'y'; {
			Expect(receiver.Read(p)).To(Equal(1))
		}
		sent()
		fillQueue(sender, m)
		for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(100 * time.Millisecond)} {
			step("deadline ", deadline)
			ended := sends(opFails("write", os.ErrDeadlineExceeded))
			Expect(sender.SetWriteDeadline(deadline)).To(Succeed())
			ended()
			Expect(m.N).To(BeZero())
			Expect(sender.SetWriteDeadline(time.Now().Add(Hang))).To(Succeed())
		}
		ended := sends(opFails("write", net.ErrClosed))
		Expect(sender.Close()).To(Succeed())
		ended()
	})

	It("Send to a full queue does not retry in a busy loop", func() {
		CannotEmulate(fdtest.Traced)
		strace := FindStrace()
		record := filepath.Join(GinkgoT().TempDir(), "calls")
		cmd := ChildCommand("full-queue", strconv.FormatBool(connected))
		RunChild(ChildUnder(cmd, strace, "-f", "-o", record, "-e", "trace=sendmsg"))
		// The sends that fill the queue, and then at most one every 50 ms.
		Expect(strings.Count(string(ok(os.ReadFile(record))), "EAGAIN")).To(And(BeNumerically(">=", 2), BeNumerically("<", 60)))
	})
},
	Entry("unconnected datagram sockets,", false),
	Entry("connected datagram sockets,", true),
)

var _ = Child("full-queue", func(args []string) {
	_, sender, m := fullQueue(args[0] == "true")
	Expect(sender.SetWriteDeadline(time.Now().Add(time.Second))).To(Succeed())
	Expect(sender.Send(m, 0)).To(opFails("write", os.ErrDeadlineExceeded))
})
