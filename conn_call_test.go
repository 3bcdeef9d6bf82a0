//go:build linux

package scm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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
			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				n, err2 := b.Read(p)
				return err == nil && n == 1 && err2 == nil
			})).To(BeNumerically("==", n), "to send them")

			Expect(allocations(func() bool {
				_, err := a.WriteFiles(p, files...)
				_, received, err2 := b.ReadFiles(p, n)
				for _, f := range received {
					_ = f.Close()
				}
				return err == nil && err2 == nil && len(received) == n
			})).To(BeNumerically("<=", n+3*n+2), "to send and receive them")
		})
	}
}, everyNetwork)

func hasRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A connWalk calls random methods of two Conns. proof/difftest compares the calls of the backends below them.
type connWalk struct {
	*rand.Rand
	files          []*os.File
	closed, socket *os.File
	open           fdtest.Snapshot // outside of a call
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("random calls of a Conn leave no descriptor open, and return only files that were sent", func() {
		for seed := range uint64(6) {
			w := connWalk{Rand: rand.New(rand.NewPCG(seed, 0)), files: pipes(4), closed: pipes(1)[0]}
			Expect(w.closed.Close()).To(Succeed())
			s, _ := sockets(unix.SOCK_STREAM)
			w.socket = asFile(s)
			config := []scm.Config{{}, {KeepTruncated: true}, {Expect: &scm.Expect{}}}[w.IntN(3)]
			a, b := pairWith(config, network)
			w.open = fdtest.Take()
			for range 60 {
				c := []*scm.Conn{a, b}[w.IntN(2)]
				// Make no call that would block.
				ready := readiness(FDOf(c))
				what := ""
				switch send := w.IntN(2) == 0; {
				case send && ready&unix.POLLOUT != 0:
					what = w.send(c)
				case !send && ready&unix.POLLIN != 0:
					what = w.receive(c)
				}
				Expect(w.open.NewSince()).To(BeEmpty(), "left open by %s, seed %d", what, seed)
			}
		}
	})
}, everyNetwork)

// readiness returns the events that poll(2) reports for a descriptor.
func readiness(fd int) int16 {
	GinkgoHelper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT}}
	_, err := unix.Poll(p, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(p, 0)
	}
	Expect(err).NotTo(HaveOccurred())
	return p[0].Revents
}

func (w *connWalk) one(list ...int) int { return list[w.IntN(len(list))] }

func (w *connWalk) oneFile(list ...*os.File) *os.File { return list[w.IntN(len(list))] }

func (w *connWalk) length() int { return w.one(0, 1, 1, 2, 5, 16, 100, 1000, 4096) }

func (w *connWalk) count() int { return w.one(0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 253, 254) }

// send makes a call that sends, and names it. The call may fail.
func (w *connWalk) send(c *scm.Conn) string {
	var pass []*os.File
	for range w.count() {
		pass = append(pass, w.oneFile(w.files...))
	}
	if w.IntN(12) == 0 {
		pass = append(pass, w.oneFile(nil, w.closed))
	}
	p := make([]byte, w.length())
	switch w.IntN(6) {
	case 0:
		_, _ = c.WriteFiles(p, pass...)
		return "WriteFiles"
	case 1:
		_, _ = c.Write(p)
		return "Write"
	case 2:
		_ = c.SendFile(strings.Repeat("n", w.one(0, 1, 5, 4095, 4096)), w.oneFile(append(w.files, w.closed)...))
		return "SendFile"
	case 3:
		m := scm.Message{Buffers: [][]byte{p, p[:len(p)/2]}, Unpadded: w.IntN(8) == 0}
		for range w.one(0, 1, 2, 3) {
			m.FDs = append(m.FDs, FDOf(w.files[w.IntN(len(w.files))]))
		}
		_ = c.Send(&m, w.one(0, unix.MSG_NOSIGNAL, unix.MSG_DONTWAIT, unix.MSG_EOR, unix.MSG_MORE))
		return "Send"
	case 4:
		_ = c.SendConn(fdtest.AsSocket(w.oneFile(w.socket, w.files[0])))
		return "SendConn"
	}
	_ = c.SendListener(fdtest.AsSocket(w.oneFile(w.socket, w.files[0])))
	return "SendListener"
}

// receive makes a call that receives, closes what it has received, and names the call. The call may fail.
func (w *connWalk) receive(c *scm.Conn) string {
	p := make([]byte, w.length())
	switch w.IntN(6) {
	case 0:
		_, files, _ := c.ReadFiles(p, w.count())
		for _, f := range files {
			w.take(FDOf(f), f)
		}
		return "ReadFiles"
	case 1:
		_, _ = c.Read(p)
		return "Read"
	case 2:
		if f, err := c.RecvFile(); err == nil {
			w.take(FDOf(f), f)
		}
		return "RecvFile"
	case 3:
		pidfd := -7
		m := scm.Message{Buffers: [][]byte{p}, FDs: make([]int, w.count()), PIDFD: &pidfd}
		_ = c.Recv(&m, w.one(0, unix.MSG_PEEK, unix.MSG_TRUNC, unix.MSG_CMSG_CLOEXEC))
		w.takeFDs(m.FDs[:m.NFD])
		if pidfd >= 0 {
			scm.CloseFDs(pidfd)
		}
		return "Recv"
	case 4:
		fds := make([]int, w.count())
		_, n, _ := c.ReadFDs(p, fds)
		w.takeFDs(fds[:n])
		return "ReadFDs"
	}
	var got io.Closer
	got, err := c.RecvConn()
	if err == nil {
		Expect(got.Close()).To(Succeed())
	}
	return "RecvConn"
}

func (w *connWalk) takeFDs(fds []int) {
	for _, fd := range fds {
		w.take(fd, os.NewFile(uintptr(fd), "received"))
	}
}

// take checks that a received file is one that was sent, and closes it.
func (w *connWalk) take(fd int, f *os.File) {
	GinkgoHelper()
	sent := slices.ContainsFunc(append(w.files, w.socket), func(o *os.File) bool { return fdtest.Same(fd, FDOf(o)) })
	Expect(sent).To(BeTrue(), "descriptor %d is not one of the files", fd)
	Expect(f.Close()).To(Succeed())
}

// Each spec runs in its own process, so that it can count the threads and descriptors. SCM_STRESS=full sends a million
// messages.

const (
	stressConns   = 100
	stressWorkers = 5 // that send at each Conn, and as many that receive
	maxThreads    = 64
)

var _ = DescribeTableSubtree("on", Label("stress"), func(network string) {
	It("many goroutines on many Conns lose no message, and need few threads", func() {
		messages := 20_000
		if os.Getenv("SCM_STRESS") == "full" {
			messages = 1_000_000
		}
		AddReportEntry("stress", strings.TrimSpace(RunChild(ChildCommand("conn-stress", network, strconv.Itoa(messages)))))
	})

	It("deadlines and Close end the calls of many goroutines on one Conn, and leave no descriptor open", func() {
		RunChild(ChildCommand("conn-storm", network))
	})
}, everyNetwork)

// leavesNothing returns the write end of a pipe, and a function which checks that no descriptor, no goroutine and no
// other copy of w is left.
func leavesNothing() (w *os.File, check func()) {
	before, goroutines := fdtest.Take(), runtime.NumGoroutine()
	r, w := both(os.Pipe())
	return w, func() {
		Expect(w.Close()).To(Succeed())
		noWriterIsLeft(r)
		Expect(r.Close()).To(Succeed())
		Expect(before.NewSince()).To(BeEmpty())
		Eventually(runtime.NumGoroutine, Hang).Should(BeNumerically("<=", goroutines))
	}
}

// conn-storm repeatedly closes a pair of Conns that a hundred goroutines use, while others change its deadlines.
var _ = Child("conn-storm", func(args []string) {
	w, check := leavesNothing()
	time.AfterFunc(4*Hang, func() { panic("a call hangs") })
	for range 20 {
		a, b := both(scm.Pair(args[0]))
		var received atomic.Int64
		calls := []func(c *scm.Conn) error{
			func(c *scm.Conn) error { return sending["WriteFiles"](c, w) },
			func(c *scm.Conn) error { return sending["SendFile"](c, w) },
			func(c *scm.Conn) error { return sending["Send"](c, w) },
			func(c *scm.Conn) error {
				_, files, err := c.ReadFiles(make([]byte, 1), 1)
				for _, f := range files {
					received.Add(1)
					Expect(f.Close()).To(Succeed())
				}
				return err
			},
			func(c *scm.Conn) error {
				fds := make([]int, 1)
				_, nfd, err := c.ReadFDs(make([]byte, 1), fds)
				closeAll(fds[:nfd])
				return err
			},
		}
		var users sync.WaitGroup
		for i := range 100 {
			c := []*scm.Conn{a, b}[i%2]
			users.Add(1)
			go func() {
				defer users.Done()
				for {
					err := calls[i/2%len(calls)](c)
					switch {
					case err == nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETOOMANYREFS):
						continue
					case errors.Is(err, net.ErrClosed), err == io.EOF, errors.Is(err, unix.EPIPE),
						errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTCONN):
						return
					}
					Expect(err).NotTo(HaveOccurred())
				}
			}()
		}
		for _, c := range []*scm.Conn{a, b} {
			users.Add(1)
			go func() {
				defer users.Done()
				var err error
				for n := 0; err == nil; n++ {
					err = c.SetDeadline([]time.Time{time.Unix(1, 0), {}}[n%2])
					runtime.Gosched()
				}
				Expect(err).To(MatchError(net.ErrClosed))
			}()
			users.Add(1)
			go func() {
				defer users.Done()
				Eventually(received.Load, Hang).Should(BeNumerically(">", 100))
				Expect(c.Close()).To(Succeed())
			}()
		}
		users.Wait()
	}
	check()
})

var _ = Child("conn-stress", func(args []string) {
	each := ok(strconv.Atoi(args[1])) / stressConns / stressWorkers
	begin := time.Now()
	w, check := leavesNothing()
	var next, threads atomic.Int64
	var workers sync.WaitGroup
	seen := make([]atomic.Int32, each*stressConns*stressWorkers)

	send := func(c *scm.Conn) {
		p := binary.NativeEndian.AppendUint64(nil, uint64(next.Add(1)-1))
		n, err := c.WriteFiles(p, w)
		for errors.Is(err, unix.ETOOMANYREFS) { // who is not root can have too much in flight
			runtime.Gosched()
			n, err = c.WriteFiles(p, w)
		}
		Expect(n, err).To(Equal(len(p)))
	}
	receive := func(c *scm.Conn) {
		p := make([]byte, 8)
		n, files, err := c.ReadFiles(p, 1)
		Expect(n, err).To(Equal(len(p)))
		Expect(files).To(HaveLen(1))
		Expect(files[0].Close()).To(Succeed())
		id := binary.NativeEndian.Uint64(p)
		seen[id].Add(1)
		if id%500 == 0 {
			threads.Store(max(threads.Load(), int64(len(ok(os.ReadDir("/proc/self/task"))))))
		}
	}
	var conns []*scm.Conn
	for range stressConns / 2 {
		a, b := both(scm.Pair(args[0]))
		conns = append(conns, a, b)
	}
	for _, c := range conns {
		Expect(c.SetDeadline(time.Now().Add(30 * time.Minute))).To(Succeed())
		for range stressWorkers { // what this end sends, the other one receives
			for _, call := range []func(c *scm.Conn){send, receive} {
				workers.Add(1)
				go func() {
					defer workers.Done()
					for range each {
						call(c)
					}
				}()
			}
		}
	}
	workers.Wait()
	for _, c := range conns {
		Expect(c.Close()).To(Succeed())
	}
	check()
	for i := range seen {
		Expect(seen[i].Load()).To(Equal(int32(1)), "how often message %d was received", i)
	}
	Expect(threads.Load()).To(BeNumerically("<", maxThreads))
	fmt.Printf("%d messages in %v, at most %d threads\n", len(seen), time.Since(begin).Round(time.Millisecond), threads.Load())
})
