package scm_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// everyCall calls the methods of a Conn that cannot succeed, and returns their errors.
func everyCall(c *scm.Conn, f *os.File) map[string]error {
	GinkgoHelper()
	cred, credErr := c.PeerCred()
	pidfd, pidfdErr := c.PeerPIDFD()
	Expect(cred).To(Equal(noCred))
	Expect(pidfd).To(Equal(-1))
	errs := map[string]error{
		"PeerCred": credErr, "PeerPIDFD": pidfdErr, "Close": c.Close(),
		"PassCred": c.PassCred(true), "PassPIDFD": c.PassPIDFD(true), "PassRights": c.PassRights(true),
	}
	for name, call := range receiving {
		errs[name] = call.one(c)
	}
	for name, call := range sending {
		errs[name] = call.send(c, f)
	}
	return errs
}

// fileFor returns a file that this call can receive: a socket, for RecvListener a listening one.
func fileFor(call string) *os.File {
	GinkgoHelper()
	if call == "RecvListener" {
		l := closeLater(ok(net.Listen("tcp", "127.0.0.1:0")))
		return closeLater(ok(l.(*net.TCPListener).File()))
	}
	s, _ := tcpPair()
	return closeLater(ok(s.File()))
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("each call that receives returns the file that each call sent", func() {
		a, b := pair(network)
		for to, receiver := range receiving {
			f := fileFor(to)
			for from, sender := range sending {
				step(from, " to ", to)
				Expect(sender.send(a, f)).To(Succeed())
				_, files := both(receiver.receive(b, make([]byte, 8), 1))
				areSame(closeAllLater(files), []*os.File{f})
				hasNothing(b)
			}
		}
	})

	if network != "unixgram" { // where a receiver is not notified of the end
		It("receives return io.EOF at the end of the connection, even if they were already waiting", func() {
			for name, call := range receiving {
				a, b := pair(network)
				end := BeIdenticalTo(io.EOF)
				if call.receives == aMessage {
					end = BeNil()
				}
				wait := start(func() { Expect(call.one(b)).To(end, name) })
				waitsIn(name, 1)
				Expect(a.CloseWrite()).To(Succeed())
				wait()
				Expect(call.one(b)).To(end, name)
				Expect(b.Write([]byte("x"))).To(Equal(1), "the other half is open")
			}
		})
	}

	It("sends fail if the other end is closed, and leave no descriptor open", func() {
		for name, call := range sending {
			a, b := pair(network)
			r, w := pipe()
			Expect(b.Close()).To(Succeed())
			want := unix.EPIPE
			if network == "unixgram" {
				want = unix.ECONNREFUSED
			}
			Expect(call.send(a, w)).To(opFails("write", want), name)
			Expect(w.Close()).To(Succeed())
			noWriterIsLeft(r)
		}
	})

	It("Read drops descriptors without installing them", func() {
		a, b := pair(network)
		r, w := pipe()
		Expect(a.WriteFiles([]byte("x"), w, w)).To(Equal(1))
		Expect(w.Close()).To(Succeed())
		before := fdtest.Take()
		Expect(b.Read(make([]byte, 1))).To(Equal(1))
		Expect(before.NewSince()).To(BeEmpty())
		noWriterIsLeft(r)
	})

	It("calls on a closed Conn return net.ErrClosed", func() {
		a, _ := pair(network)
		Expect(a.Close()).To(Succeed())
		errs := everyCall(a, pipes(1)[0])
		errs["SetDeadline"] = a.SetDeadline(time.Unix(1, 0))
		errs["Read"] = Second(a.Read(make([]byte, 1)))
		errs["Write"] = Second(a.Write([]byte("x")))
		errs["NewConn"] = Second(scm.NewConn(a.UnixConn))
		for call, err := range errs {
			Expect(err).To(MatchError(net.ErrClosed), call)
			Expect(errorOf[*net.OpError](err).Net).To(HavePrefix("unix"), call)
		}
		Expect(errs["PeerCred"]).To(HaveField("Op", "get"))
		Expect(errs["PassCred"]).To(HaveField("Op", "set"))
		a.SetUnlinkOnClose(true)
		Expect(a.LocalAddr().Network()).To(Equal(network))
	})

	It("Conn.Send and Recv pass buffers, descriptors, credentials and flags", func() {
		a, b := pair(network)
		Expect(b.PassCred(true)).To(Succeed())
		f := pipes(1)[0]
		out := scm.Message{Buffers: [][]byte{[]byte("he"), []byte("llo")}, FDs: []int{FDOf(f)}}
		Expect(a.Send(&out, 0)).To(Succeed())
		Expect(out.N).To(Equal(5))
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			step("MSG_PEEK: ", flags != 0)
			in := scm.Message{Buffers: [][]byte{make([]byte, 1), make([]byte, 8)}, FDs: make([]int, 2), Cred: new(scm.Cred)}
			Expect(b.Recv(&in, flags)).To(Succeed())
			Expect(string(in.Buffers[0]) + string(in.Buffers[1][:in.N-1])).To(Equal("hello"))
			Expect(in.NFD).To(Equal(1))
			areSame([]*os.File{closeLater(os.NewFile(uintptr(in.FDs[0]), "received"))}, []*os.File{f})
			Expect(*in.Cred).To(Equal(self()))
		}
	})

	if network == "unix" {
		It("Conn.Send rejects descriptors without a payload, and Conn.Recv an empty buffer", func() {
			a, b := pair(network)
			f := pipes(1)[0]
			Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
			for _, buffers := range [][][]byte{nil, {nil}, {{}, {}}} {
				out := scm.Message{Buffers: buffers, FDs: []int{FDOf(f)}}
				Expect(a.Send(&out, 0)).To(opFails("write", scm.ErrEmptyPayload))
				Expect(Third(receiveMessage(b, buffers, 1))).To(And(opFails("read", scm.ErrEmptyPayload), MatchError(HaveSuffix("scm: receiving from a stream socket requires a buffer of at least one byte"))))
			}
			receives(b, "x", f)
		})
	}
}, everyNetwork)

// A connWalk calls random methods of two Conns. proof/difftest compares the calls of the backends below them.
type connWalk struct {
	*rand.Rand
	files          []*os.File
	closed, socket *os.File
	open           fdtest.Snapshot // outside of a call
}

var _ = DescribeTableSubtree("on", func(network string) {
	It("random calls of a Conn leave no descriptor open, and return only files that were sent", func() {
		CannotEmulate(fdtest.NotCut)
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
		AddReportEntry("stress", strings.TrimSpace(RunChild(ChildCommand("conn-stress", network, strconv.Itoa(messages)))), ReportEntryVisibilityFailureOrVerbose)
	})

	It("deadlines and Close end the calls of many goroutines on one socket, and leave no descriptor open", func() {
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

// conn-storm repeatedly closes a pair of Conns that a hundred goroutines use, while others change their deadlines.
// Every other time, both happen to the embedded net.UnixConn.
var _ = Child("conn-storm", func(args []string) {
	w, check := leavesNothing()
	time.AfterFunc(4*Hang, func() { panic("a call hangs") })
	for round := range 20 {
		a, b := both(scm.Pair(args[0]))
		var received atomic.Int64
		var calls []func(c *scm.Conn) error
		for _, call := range sending {
			if call.sends != oneSocket {
				calls = append(calls, func(c *scm.Conn) error { return call.send(c, w) })
			}
		}
		for _, call := range receiving {
			if call.receives != oneSocket {
				calls = append(calls, func(c *scm.Conn) error {
					_, files, err := call.receive(c, make([]byte, 1), 1)
					received.Add(int64(len(files)))
					closeFiles(files)
					return err
				})
			}
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
		for _, c := range []net.Conn{a, b} {
			if round%2 == 1 {
				c = c.(*scm.Conn).UnixConn
			}
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
	messages := ok(strconv.Atoi(args[1]))
	each := messages / stressConns / stressWorkers
	begin := time.Now()
	time.AfterFunc(time.Duration(messages/10_000)*Hang, func() { panic("a call hangs") })
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

var _ = DescribeTableSubtree("on", func(typ int) {
	network := map[int]string{unix.SOCK_STREAM: "unix", unix.SOCK_DGRAM: "unixgram", unix.SOCK_SEQPACKET: "unixpacket"}[typ]

	// netConn makes a connection of package net, and returns its other end as a Conn.
	netConn := func() (theirs *net.UnixConn, far *scm.Conn) {
		GinkgoHelper()
		checkNoLeak()
		a, b := sockets(typ)
		file := asFile(a)
		defer func() { _ = file.Close() }()
		return withDeadline(ok(net.FileConn(file)).(*net.UnixConn)), withDeadline(ok(scm.NewConnFD(copies(b)[0])))
	}

	It("NewConn uses the same socket without changing it, and Close and deadlines apply to both connections", func() {
		for want, end := range map[error]func(theirs *net.UnixConn) error{
			os.ErrDeadlineExceeded: func(theirs *net.UnixConn) error { return theirs.SetReadDeadline(time.Unix(1, 0)) },
			net.ErrClosed:          (*net.UnixConn).Close,
		} {
			theirs, far := netConn()
			before, status := fdtest.Take(), statusOf(theirs)
			ours := ok(scm.NewConn(theirs))
			Expect(ours.UnixConn).To(BeIdenticalTo(theirs))
			Expect(before.NewSince()).To(BeEmpty())
			Expect(FDOf(ours)).To(Equal(FDOf(theirs)))
			f := pipes(1)[0]
			Expect(ours.WriteFiles([]byte("a"), f)).To(Equal(1))
			receives(far, "a", f)
			Expect(theirs.Write([]byte("b"))).To(Equal(1))
			receives(far, "b")
			Expect(statusOf(theirs)).To(Equal(status))

			wait := start(func() { Expect(Third(ours.ReadFiles(make([]byte, 1), 1))).To(opFails("read", want)) })
			waitsIn("ReadFiles", 1)
			Expect(end(theirs)).To(Succeed())
			wait()
		}
		theirs, _ := netConn()
		Expect(ok(scm.NewConn(theirs)).Close()).To(Succeed())
		Expect(theirs.Write([]byte("x"))).Error().To(MatchError(net.ErrClosed))
	})

	It("NewConnFD consumes the descriptor of a blocking or non-blocking socket, and sets O_NONBLOCK", func() {
		for _, flags := range []int{0, unix.SOCK_NONBLOCK} {
			step("O_NONBLOCK: ", flags != 0)
			a, b := sockets(typ | flags)
			checkNoLeak()
			inherited := ok(unix.Dup(a))
			c := withDeadline(ok(scm.NewConnFD(inherited)))
			Expect(fdtest.IsOpen(inherited)).To(BeFalse())
			Expect(fdtest.Same(FDOf(c), a)).To(BeTrue())
			Expect(fdtest.CloseOnExec(FDOf(c))).To(BeTrue())
			Expect(fcntl(a, unix.F_GETFL, 0) & unix.O_NONBLOCK).NotTo(BeZero())
			Expect(c.LocalAddr().Network()).To(Equal(network))
			f := pipes(1)[0]
			Expect(c.WriteFiles([]byte("x"), f)).To(Equal(1))
			received := ok(scm.NewConnFD(copies(b)[0]))
			receives(withDeadline(received), "x", f)
		}
	})

	It("NewConn keeps the Expect, and nothing else, of the Config of the *Conn that its argument is or leads to, Config.NewConn replaces it, and both return the same socket", func() {
		theirs, far := netConn()
		strict := ok(scm.Config{Expect: &scm.Expect{Max: 2, Kind: scm.KindSocket}, KeepTruncated: true}.NewConn(theirs))
		sent := pipes(1)[0]
		for name, c := range map[string]net.Conn{
			"a *Conn":                         strict,
			"a Conn from NewConn":             ok(scm.NewConn(strict)),
			"a Conn from WithContext":         strict.WithContext(context.Background()),
			"a struct that embeds a *Conn":    embedsPointer{strict, ""},
			"a NetConn that returns a Conn":   wrapper{nil, strict},
			"two NetConns":                    wrapper{nil, &wrapper{nil, strict}},
			"a NetConn that returns a struct": wrapper{nil, embedsPointer{strict, ""}},
		} {
			step(name)
			before := fdtest.Take()
			kept, plain := ok(scm.NewConn(c)), ok(scm.Config{}.NewConn(c))
			Expect(before.NewSince()).To(BeEmpty())
			Expect([]*net.UnixConn{kept.UnixConn, plain.UnixConn}).To(HaveEach(BeIdenticalTo(theirs)))
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			Expect(Third(kept.ReadFiles(make([]byte, 1), 1))).To(MatchError("scm: wanted a socket, got a pipe (read end)"))
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			receives(plain, "x", sent)
		}
		for name, c := range map[string]net.Conn{"a NetConn that skips the Conn": wrapper{strict, strict.NetConn()}, "the socket": theirs} {
			step(name)
			Expect(far.WriteFiles([]byte("x"), sent)).To(Equal(1))
			receives(ok(scm.NewConn(c)), "x", sent)
		}
		CannotEmulate(fdtest.NotCut)
		Expect(far.WriteFDs([]byte("x"), FDOf(far), FDOf(far))).To(Equal(1))
		n, files, err := ok(scm.NewConn(strict)).ReadFiles(make([]byte, 1), 1)
		isTruncated(n, files, err, 1, unix.EMSGSIZE)
		Expect(files).To(BeNil(), "without KeepTruncated")
	})
}, everyType)

// wrapper is a connection around another one.
type wrapper struct {
	net.Conn
	inner net.Conn
}

func (w wrapper) NetConn() net.Conn { return w.inner }

// wraps is a wrapper whose inner connection is a function, so that it can be the wrapper itself.
type wraps struct {
	net.Conn
	inner func() net.Conn
}

func (w *wraps) NetConn() net.Conn { return w.inner() }

type embedsPointer struct {
	*scm.Conn
	name string
}

type embedsValue struct{ scm.Conn }

// embedsNil embeds no Conn, and has a NetConn of its own.
type embedsNil struct {
	*scm.Conn
	inner net.Conn
}

func (e embedsNil) NetConn() net.Conn { return e.inner }

type embedsTLS struct{ *tls.Conn }

type embedsUnix struct{ *net.UnixConn }

// ownTLS embeds a Conn and has the method of a connection that encrypts.
type ownTLS struct{ *scm.Conn }

func (ownTLS) HandshakeContext(context.Context) error { return nil }

var _ = It("NewConnFD rejects a descriptor that is not a Unix socket, and does not change it", func() {
	checkNoLeak()
	r, w := pipe()
	tcp, udp := closeLater(ok(net.Listen("tcp", "127.0.0.1:0"))), closeLater(ok(net.ListenPacket("udp", "127.0.0.1:0")))
	null, path := closeLater(ok(os.Open("/dev/null"))), closeLater(ok(os.OpenFile("/", unix.O_PATH, 0)))
	for _, c := range []syscall.Conn{r, w, tcp.(*net.TCPListener), udp.(*net.UDPConn), null, path} {
		before := statusOf(c)
		Expect(Second(scm.Config{NoFiles: true}.NewConnFD(FDOf(c)))).To(opFails("conn", scm.ErrNotUnix))
		Expect(statusOf(c)).To(Equal(before))
	}
})

var _ = It("NewConn and NewConnFD reject nil, a nil pointer, a Conn created as a struct literal, and an invalid descriptor", func() {
	for _, none := range []net.Conn{nil, (*net.UnixConn)(nil), (*scm.Conn)(nil), (*tls.Conn)(nil), (*wraps)(nil), &scm.Conn{}} {
		Expect(Second(scm.NewConn(none))).To(opFails("conn", os.ErrInvalid), "%T", none)
	}
	Expect(Second(scm.NewConn(new(net.UnixConn)))).To(opFails("conn", unix.EINVAL))
	for _, fd := range []int{-1, math.MinInt} {
		Expect(Second(scm.NewConnFD(fd))).To(opFails("conn", unix.EBADF))
	}
})

var _ = It("NewConn does not unwrap a connection that has a HandshakeContext method", func() {
	a, b := pair("unix")
	plain := tls.Client(a.UnixConn, &tls.Config{})
	for _, c := range []net.Conn{
		plain, tls.Client(a, &tls.Config{}), embedsTLS{plain}, &embedsTLS{plain}, wrapper{nil, plain},
		wrapper{nil, wrapper{nil, embedsTLS{plain}}}, ownTLS{a}, wrapper{nil, ownTLS{a}},
	} {
		Expect(Second(scm.NewConn(c))).To(And(opFails("conn", scm.ErrNotUnix), MatchError(ContainSubstring("bypass the encryption"))), "%T", c)
	}
	hasNothing(b)
})

var _ = It("NewConn rejects a connection without a Unix socket, and returns an error if NetConn methods form a cycle", func() {
	a, _ := pair("unix")
	near, _ := tcpPair()
	one, other := net.Pipe()
	closeLater(one)
	closeLater(other)
	itself, loop := &wraps{}, &wraps{}
	itself.inner = func() net.Conn { return itself }
	loop.inner = func() net.Conn { return wrapper{nil, loop} }
	for _, c := range []struct {
		conn net.Conn
		text string
	}{
		{near, "*net.TCPConn has no NetConn method"},
		{one, "*net.pipe has no NetConn method"},
		{wrapper{nil, near}, "*net.TCPConn has no NetConn method"},
		{embedsUnix{a.UnixConn}, "scm_test.embedsUnix has no NetConn method"},
		{wrapper{a, nil}, "NetConn of scm_test.wrapper returned nil"},
		{wrapper{a, (*net.UnixConn)(nil)}, "NetConn of scm_test.wrapper returned nil"},
		{embedsPointer{}, "NetConn of scm_test.embedsPointer returned nil"},
		{embedsNil{nil, near}, "*net.TCPConn has no NetConn method"},
		{&embedsValue{}, "NetConn of *scm_test.embedsValue returned nil"},
		{itself, "unwrapped 64 times and still found a *scm_test.wraps: its NetConn methods may form a cycle"},
		{loop, "unwrapped 64 times and still found a *scm_test.wraps: its NetConn methods may form a cycle"},
	} {
		Expect(Second(scm.NewConn(c.conn))).To(And(opFails("conn", scm.ErrNotUnix), MatchError(ContainSubstring(c.text))))
	}
})

var _ = It("NetConn returns the *net.UnixConn of a Conn, or nil as LocalAddr if it has none", func() {
	a, _ := pair("unix")
	Expect(a.NetConn()).To(BeIdenticalTo(a.UnixConn))
	for _, c := range []*scm.Conn{nil, {}} {
		Expect(c.NetConn()).To(BeNil())
		Expect(c.LocalAddr()).To(BeNil())
	}
})

var _ = It("NewConnFD and NewConnFile leave O_NONBLOCK clear if they fail", func() {
	CannotEmulate("the emulator has no seccomp filters")
	if RunChild(ChildCommand("newconn-blocking")) != "" {
		Skip("this architecture sets socket options with socketcall(2)")
	}
})

var _ = Child("newconn-blocking", func([]string) {
	runtime.LockOSThread()
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	blocking := os.NewFile(uintptr(p[0]), "blocking")
	check := func(config scm.Config, want error) {
		GinkgoHelper()
		for _, on := range []bool{false, true} {
			Expect(scm.SetNonblock(blocking, on)).To(Succeed())
			Expect(Second(config.NewConnFD(p[0]))).To(opFails("conn", want))
			Expect(Second(config.NewConnFile(blocking))).To(opFails("conn", want))
			Expect(scm.Nonblock(blocking)).To(Equal(on))
		}
	}
	check(scm.Config{Expect: &scm.Expect{Min: 2, Max: 1}}, unix.EINVAL)
	// as before Linux 6.16
	Expect(deny(unix.SYS_SETSOCKOPT, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOPROTOOPT))).To(Succeed())
	if scm.PassRights(p[0], true) == nil {
		fmt.Println("another system call")
		return
	}
	check(scm.Config{NoFiles: true}, errors.ErrUnsupported)
})

var _ = It("NewConnFD leaves the descriptor open for the caller to close if the descriptor table is full", func() {
	RunChild(ChildCommand("newconn-nofile"))
})

var _ = Child("newconn-nofile", func([]string) {
	p := ok(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	before := fdtest.Take()
	for free := range 3 {
		fdtest.WithFree(free, func() {
			Expect(Third(scm.Pair("unix"))).To(opFails("pair", unix.EMFILE))
			if free < 2 { // one duplicate for package os, and one for package net
				Expect(Second(scm.NewConnFD(p[0]))).To(opFails("conn", unix.EMFILE))
			}
		})
	}
	Expect(before.NewSince()).To(BeEmpty())
	Expect(fdtest.IsOpen(p[0])).To(BeTrue())
	Expect(fcntl(p[0], unix.F_GETFL, 0) & unix.O_NONBLOCK).To(BeZero())
	c := ok(scm.NewConnFD(p[0]))
	Expect(c.Close()).To(Succeed())
})
