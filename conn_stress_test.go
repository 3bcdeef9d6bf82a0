//go:build linux

package scm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
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
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
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
		a, b, err := scm.Pair(args[0])
		Expect(err).NotTo(HaveOccurred())
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
		a, b, err := scm.Pair(args[0])
		Expect(err).NotTo(HaveOccurred())
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
