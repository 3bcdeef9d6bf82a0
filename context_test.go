//go:build linux

package scm_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// done returns a context that is done.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// races is how often a context ends a call that would succeed at about the same time.
func races() int {
	if os.Getenv("SCM_STRESS") == "full" {
		return 10_000
	}
	return 1000
}

// A rival lets a call succeed whose context is about to end.
type rival struct {
	call  func(ctx context.Context) error
	let   func()
	check func(ended bool) // that nothing was lost; it prepares the next round
}

// receiver returns the rival of a call that receives.
func receiver(name string) func() rival {
	return func() rival {
		a, b := pair("unix")
		f := fileFor(name)
		call := func(ctx context.Context) error { return receiving[name].one(b.WithContext(ctx)) }
		return rival{call, func() { Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1)) }, func(ended bool) {
			if ended {
				Expect(call(context.Background())).To(Succeed())
			}
			hasNothing(b)
		}}
	}
}

// sender returns the rival of a call that sends, on a socket that is full.
func sender(name string) func() rival {
	return func() rival {
		a, b := pair("unixpacket")
		Expect(a.SetWriteBuffer(0)).To(Succeed())
		f, full := pipes(1)[0], 0
		fill := func() {
			for full = 0; Second(unix.Write(FDOf(a), []byte("full"))) == nil; full++ {
			}
		}
		fill()
		return rival{
			func(ctx context.Context) error { return sending[name].send(a.WithContext(ctx), f) },
			func() {
				for range full {
					Expect(unix.Read(FDOf(b), make([]byte, 4))).To(Equal(4))
				}
			},
			func(ended bool) {
				if !ended {
					n, files := both(b.ReadFiles(make([]byte, 1), 1))
					Expect(n).To(Equal(1))
					Expect(files).To(HaveLen(1))
					Expect(files[0].Close()).To(Succeed())
				}
				hasNothing(b)
				fill()
			},
		}
	}
}

// rivals returns an entry for each call of a table.
func rivals[C any](table map[string]C, prepare func(name string) func() rival) (all []TableEntry) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		all = append(all, Entry(name, prepare(name)))
	}
	return all
}

var _ = DescribeTable("when a context ends a call that another goroutine lets succeed, nothing is lost:", Label("stress"), func(prepare func() rival) {
	r := prepare()
	ends := 0
	for i := range races() {
		ctx, cancel := context.WithCancel(context.Background())
		first, second := cancel, r.let
		if i%2 == 0 {
			first, second = second, first
		}
		wait := start(func() {
			first()
			time.Sleep(time.Duration(i%100) * time.Microsecond)
			second()
		})
		err := r.call(ctx)
		wait()
		if err != nil {
			Expect(err).To(MatchError(context.Canceled))
			ends++
		}
		r.check(err != nil)
	}
	AddReportEntry("the context won", ends, ReportEntryVisibilityFailureOrVerbose)
},
	rivals(sending, sender),
	rivals(receiving, receiver),
	Entry("Accept", func() rival {
		checkNoLeak()
		l := listen(scm.Config{}, "unix", AbstractName())
		call := func(ctx context.Context) error {
			c, err := l.WithContext(ctx).Accept()
			if err == nil {
				err = c.Close()
			}
			return err
		}
		return rival{call, func() { Expect(dial("unix", l.Addr().String()).Close()).To(Succeed()) }, func(ended bool) {
			if ended {
				Expect(call(context.Background())).To(Succeed())
			}
		}}
	}),
)

// waitingCalls are the calls that wait on a Conn that is full and has nothing to receive.
func waitingCalls(f *os.File) map[string]func(c *scm.Conn) error {
	_, w := pipe()
	zero := closeLater(ok(os.Open("/dev/zero")))
	again := func(uintptr) (done bool) { return false }
	calls := map[string]func(c *scm.Conn) error{
		"Read":  func(c *scm.Conn) error { return Second(c.Read(make([]byte, 1))) },
		"Write": func(c *scm.Conn) error { return Second(c.Write([]byte("x"))) },
		"Recv with MSG_DONTWAIT": func(c *scm.Conn) error {
			return c.Recv(&scm.Message{Buffers: [][]byte{make([]byte, 1)}}, unix.MSG_DONTWAIT)
		},
		"io.Copy to a pipe":   func(c *scm.Conn) error { return Second(io.Copy(w, c)) },
		"io.Copy from a file": func(c *scm.Conn) error { return Second(io.Copy(c, zero)) },
		"RawConn.Read":        func(c *scm.Conn) error { return ok(c.SyscallConn()).Read(again) },
		"RawConn.Write":       func(c *scm.Conn) error { return ok(c.SyscallConn()).Write(again) },
	}
	for name, call := range receiving {
		calls[name] = call.one
	}
	for name, call := range sending {
		calls[name] = func(c *scm.Conn) error { return call.send(c, f) }
	}
	return calls
}

var _ = DescribeTableSubtree("WithContext, on", func(network string) {
	It("lets no call send or receive if the context is done before", func() {
		a, b := pair(network)
		Expect(a.Write([]byte("x"))).To(Equal(1))
		for name, call := range waitingCalls(pipes(1)[0]) {
			Expect(call(b.WithContext(done()))).To(MatchError(context.Canceled), name)
		}
		receives(b, "x")
		hasNothing(a)
	})

	// endEach ends each call on b, which is full, with its context. waits waits until the call does.
	endEach := func(b *scm.Conn, f *os.File, waits func()) {
		GinkgoHelper()
		calls := waitingCalls(f)
		delete(calls, "Recv with MSG_DONTWAIT")
		for name, call := range calls {
			step(name)
			ctx, cancel := context.WithCancelCause(context.Background())
			wait := start(func() {
				err := call(b.WithContext(ctx))
				Expect(err).To(And(BeAssignableToTypeOf(&net.OpError{}), MatchError(io.ErrNoProgress)))
			})
			waits()
			cancel(io.ErrNoProgress)
			wait()
		}
	}

	It("ends each call that waits for the socket", func() {
		_, b := pair(network)
		Expect(b.SetDeadline(time.Time{})).To(Succeed())
		fill(b)
		endEach(b, pipes(1)[0], func() { waitsIn("(*direction).run", 1) })
	})

	It("ends each call that waits, and no other", func() {
		_, b := pair(network)
		Expect(b.SetDeadline(time.Time{})).To(Succeed())
		fill(b)
		f := pipes(1)[0]
		other, cancel := context.WithCancel(context.Background())
		defer cancel()
		reads := start(func() { Expect(receiving["ReadFiles"].one(b.WithContext(other))).To(opFails("read", net.ErrClosed)) })
		writes := start(func() { Expect(sending["WriteFiles"].send(b, f)).To(opFails("write", net.ErrClosed)) })
		waitsIn("RawRead", 1)
		waitsIn("RawWrite", 1)
		endEach(b, f, func() {})
		waitsIn("RawRead", 1)
		waitsIn("RawWrite", 1)
		Expect(b.Close()).To(Succeed())
		reads()
		writes()
	})

	It("ends a call that waits for another call, and no other, and the next one begins when that call returns", func() {
		a, b := pair(network)
		f := pipes(1)[0]
		running := func() int { return bytes.Count(Stacks(), []byte("(*direction).run(")) }
		first := start(func() { receives(b, "x", f) })
		waitsIn("RawRead", 1)
		for range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			next := start(func() { Expect(receiving["ReadFiles"].one(b.WithContext(ctx))).To(MatchError(context.Canceled)) })
			Eventually(running, Hang, time.Millisecond).Should(Equal(2))
			cancel()
			next()
		}
		last := start(func() { receives(b, "y", f) })
		Eventually(running, Hang, time.Millisecond).Should(Equal(2))
		for _, payload := range []string{"x", "y"} {
			Expect(a.WriteFiles([]byte(payload), f)).To(Equal(1))
		}
		first()
		last()
	})

	It("returns the error of a call that failed before the context was done", func() {
		_, b := pair(network)
		ctx, cancel := context.WithCancel(context.Background())
		var closes func()
		err := ok(b.WithContext(ctx).SyscallConn()).Read(func(uintptr) (done bool) {
			closes = start(func() { Expect(b.Close()).To(Succeed()) }) // it waits for this function
			Eventually(func() error { return b.SetReadDeadline(time.Time{}) }, Hang).Should(MatchError(net.ErrClosed))
			cancel()
			return false
		})
		closes()
		Expect(err).To(opFails("raw-read", net.ErrClosed))
		Expect(err).NotTo(MatchError(context.Canceled))
	})

	It("ends a call, and keeps the deadline that the program sets before, during or after it", func() {
		_, b := pair(network)
		for i := range 100 {
			set := []func(t time.Time) error{b.SetReadDeadline, b.SetDeadline, ok(scm.NewConn(b)).SetReadDeadline}[i%3]
			Expect(set(time.Time{})).To(Succeed())
			ctx, cancel := context.WithCancel(context.Background())
			ends := []func(){cancel, func() { Expect(set(time.Unix(1, 0))).To(Succeed()) }}
			waits := []func(){start(ends[i%2]), start(ends[1-i%2])}
			err := soon(func() error { return receiving["ReadFiles"].one(b.WithContext(ctx)) })
			Expect(err).To(Or(MatchError(context.Canceled), MatchError(os.ErrDeadlineExceeded)))
			for _, wait := range waits {
				wait()
			}
			Expect(soon(func() error { return receiving["ReadFiles"].one(b) })).To(MatchError(os.ErrDeadlineExceeded))
		}
	})

	It("leaves a deadline set on the UnixConn to end its calls, but not to keep them from ending with the context", func() {
		_, b := pair(network)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for _, c := range []*scm.Conn{b, b.WithContext(ctx)} {
			Expect(b.UnixConn.SetReadDeadline(time.Time{})).To(Succeed())
			wait := start(func() { Expect(receiving["ReadFiles"].one(c)).To(MatchError(os.ErrDeadlineExceeded)) })
			waitsIn("ReadFiles", 1)
			Expect(b.UnixConn.SetReadDeadline(time.Unix(1, 0))).To(Succeed())
			wait()
			Expect(soon(func() error { return receiving["Recv"].one(c) })).To(MatchError(os.ErrDeadlineExceeded))
		}

		for range races() {
			Expect(b.UnixConn.SetReadDeadline(time.Time{})).To(Succeed())
			ctx, cancel := context.WithCancel(context.Background())
			var ended atomic.Bool
			wait := start(func() {
				defer ended.Store(true)
				Expect(receiving["ReadFiles"].one(b.WithContext(ctx))).To(MatchError(context.Canceled))
			})
			waitsIn("ReadFiles", 1)
			sets := start(func() {
				// Package net forgets a deadline that is reset before the waiting call runs, so an endless loop could win each time.
				for i := 0; i < 10_000 && !ended.Load(); i++ {
					_ = b.UnixConn.SetReadDeadline(time.Time{})
				}
			})
			cancel()
			wait()
			sets()
		}
		Expect(b.UnixConn.SetReadDeadline(time.Unix(1, 0))).To(Succeed())
		Expect(soon(func() error { return receiving["ReadFiles"].one(b) })).To(MatchError(os.ErrDeadlineExceeded))
	})
}, everyNetwork)

var _ = Describe("the Conn that WithContext returns", func() {
	It("does not break up the payload of another call when its own waits for it", func() {
		a, b := narrow()
		payload, f := paged(1<<20), pipes(1)[0]
		writes := start(func() { Expect(a.WriteFiles(payload, f)).To(Equal(len(payload))) })
		waitsIn("WriteFiles", 1)
		ctx, cancel := context.WithCancel(context.Background())
		ends := start(func() { Expect(Second(a.WithContext(ctx).Write([]byte("lost")))).To(MatchError(context.Canceled)) })
		last := start(func() {
			writes()
			Expect(a.Write([]byte("last"))).To(Equal(4))
			Expect(a.CloseWrite()).To(Succeed())
		})
		cancel()
		ends()
		got, files, _, _ := receiveAll(b)
		last()
		Expect(bytes.Equal(got, append(payload, "last"...))).To(BeTrue(), "%d bytes were received", len(got))
		areSame(files, []*os.File{f})
	})

	It("returns how much of a payload it has sent", func() {
		a, b := narrow()
		ctx, cancel := context.WithCancel(context.Background())
		f := pipes(1)[0]
		n := 0
		wait := start(func() {
			var err error
			n, err = a.WithContext(ctx).WriteFiles(paged(1<<20), f)
			Expect(err).To(opFails("write", context.Canceled))
		})
		waitsIn("WriteFiles", 1)
		cancel()
		wait()
		Expect(a.CloseWrite()).To(Succeed())
		got, files, _, _ := receiveAll(b)
		Expect(got).To(HaveLen(n))
		areSame(files, []*os.File{f})
	})

	It("returns an error that is a timeout only if the context has a deadline, and never io.EOF itself", func() {
		_, b := pair("unix")
		ctx, cancel := context.WithTimeout(context.Background(), 0)
		defer cancel()
		_, err := b.WithContext(ctx).RecvFile()
		Expect(err).To(opFails("read", context.DeadlineExceeded))
		Expect(err.(net.Error).Timeout()).To(BeTrue())
		_, err = b.WithContext(done()).RecvFile()
		Expect(err.(net.Error).Timeout()).To(BeFalse())
		cause, end := context.WithCancelCause(context.Background())
		end(io.EOF)
		Expect(b.WithContext(cause).Read(make([]byte, 1))).Error().To(opFails("read", io.EOF))
	})

	It("keeps its context in NewConn and, as a Listener does, in NewListener", func() {
		_, b := pair("unix")
		for _, newConn := range []func(net.Conn) (*scm.Conn, error){scm.NewConn, scm.Config{}.NewConn} {
			c := ok(newConn(b.WithContext(done())))
			Expect(soon(func() error { return Second(c.RecvFile()) })).To(MatchError(context.Canceled))
		}
		l := listen(scm.Config{}, "unix", AbstractName())
		for _, newListener := range []func(net.Listener) (*scm.Listener, error){scm.NewListener, scm.Config{}.NewListener} {
			l := ok(newListener(l.WithContext(done())))
			Expect(soon(func() error { return Second(l.Accept()) })).To(MatchError(context.Canceled))
		}
	})

	It("is the same connection for PassRights and SetUnlinkOnClose", func() {
		a, b := pair("unix")
		b, err := scm.Config{NoFiles: true}.NewConn(b)
		supported(err, "SO_PASSRIGHTS")
		Expect(b.WithContext(context.Background()).PassRights(true)).To(Succeed())
		f := pipes(1)[0]
		Expect(a.WriteFiles([]byte("x"), f)).To(Equal(1))
		receives(b, "x", f)
	})

	It("is the same socket file as that of the Listener", func() {
		checkNoLeak()
		l := listen(scm.Config{}, "unix", socketPath())
		l.WithContext(done()).SetUnlinkOnClose(false)
		l.SetUnlinkOnClose(true)
		Expect(l.Close()).To(Succeed())
		Expect(os.Lstat(l.Addr().String())).Error().To(MatchError(os.ErrNotExist))
	})
})

var _ = It("a context that ends a call keeps the deadline of the Conn or Listener that NewConn or NewListener was given", func() {
	_, b := pair("unix")
	Expect(b.SetDeadline(time.Time{})).To(Succeed())
	l := listen(scm.Config{}, "unix", AbstractName())
	ctx, cancel := context.WithCancel(context.Background())
	ends := Or(MatchError(context.Canceled), MatchError(os.ErrDeadlineExceeded))
	reads := start(func() { Expect(receiving["ReadFiles"].one(ok(scm.NewConn(b)).WithContext(ctx))).To(ends) })
	accepts := start(func() { Expect(Second(ok(scm.NewListener(l)).WithContext(ctx).Accept())).To(ends) })
	waitsIn("ReadFiles", 1)
	waitsIn("AcceptConn", 1)
	later := time.Now().Add(time.Second) // usually after the calls have ended
	Expect(b.SetReadDeadline(later)).To(Succeed())
	Expect(l.SetDeadline(later)).To(Succeed())
	cancel()
	reads()
	accepts()
	Expect(soon(func() error { return receiving["ReadFiles"].one(b) })).To(MatchError(os.ErrDeadlineExceeded))
	Expect(soon(func() error { return Second(l.Accept()) })).To(MatchError(os.ErrDeadlineExceeded))
})
