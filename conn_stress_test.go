//go:build linux

package scm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// A thousand goroutines over a hundred Conns, in a process of its own, whose
// threads can be counted. With SCM_STRESS=full a million messages go over them.

const (
	stressConns   = 100
	stressWorkers = 5 // that send at each Conn, and as many that receive
	maxThreads    = 64
)

var _ = DescribeTable("many goroutines over many Conns lose nothing, and take few threads",
	func(network string) {
		messages := 20_000
		if os.Getenv("SCM_STRESS") == "full" {
			messages = 1_000_000
		}
		AddReportEntry("stress", strings.TrimSpace(RunChild(ChildCommand("conn-stress", network, strconv.Itoa(messages)))))
	}, Label("stress"), everyNetwork)

var _ = Child("conn-stress", func(args []string) {
	total, err := strconv.Atoi(args[1])
	Expect(err).NotTo(HaveOccurred())
	begin, before, goroutines := time.Now(), fdtest.Take(), runtime.NumGoroutine()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	s := &stress{file: w, seen: make([]atomic.Int32, total)}

	var conns []*scm.Conn
	for range stressConns / 2 {
		a, b, err := scm.Pair(args[0])
		Expect(err).NotTo(HaveOccurred())
		conns = append(conns, a, b)
	}
	for _, c := range conns {
		Expect(c.SetDeadline(time.Now().Add(30 * time.Minute))).To(Succeed())
		// What this end sends, the other one receives.
		var toSend, toReceive atomic.Int64
		toSend.Store(int64(total / stressConns))
		toReceive.Store(int64(total / stressConns))
		for range stressWorkers {
			s.workers.Go(func() {
				for toSend.Add(-1) >= 0 {
					s.send(c)
				}
			})
			s.workers.Go(func() {
				for toReceive.Add(-1) >= 0 {
					s.receive(c)
				}
			})
		}
	}
	s.workers.Wait()

	for _, c := range conns {
		Expect(c.Dropped()).To(BeZero())
		Expect(c.Close()).To(Succeed())
	}
	Expect(w.Close()).To(Succeed())
	noWriterIsLeft(r)
	Expect(r.Close()).To(Succeed())
	Expect(before.NewSince()).To(BeEmpty())
	Eventually(runtime.NumGoroutine, Hang).Should(BeNumerically("<=", goroutines))
	for i := range s.seen {
		Expect(s.seen[i].Load()).To(Equal(int32(1)), "how often message %d came", i)
	}
	Expect(s.threads.Load()).To(BeNumerically("<", maxThreads))
	fmt.Printf("%d messages in %v, at most %d threads\n", total, time.Since(begin).Round(time.Millisecond), s.threads.Load())
})

type stress struct {
	workers sync.WaitGroup
	file    *os.File // goes with each message
	next    atomic.Int64
	seen    []atomic.Int32
	threads atomic.Int64 // the most that were seen
}

// send sends the next message. Who is not root can have too much in flight.
func (s *stress) send(c *scm.Conn) {
	p := binary.NativeEndian.AppendUint64(nil, uint64(s.next.Add(1)-1))
	for {
		n, err := c.WriteFiles(p, s.file)
		if errors.Is(err, unix.ETOOMANYREFS) {
			runtime.Gosched()
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(n).To(Equal(len(p)))
		return
	}
}

func (s *stress) receive(c *scm.Conn) {
	p := make([]byte, 8)
	n, files, err := c.ReadFiles(p, 1)
	Expect(err).NotTo(HaveOccurred())
	Expect(n).To(Equal(len(p)))
	Expect(files).To(HaveLen(1))
	Expect(files[0].Close()).To(Succeed())
	id := binary.NativeEndian.Uint64(p)
	s.seen[id].Add(1)
	if id%500 == 0 {
		s.countThreads()
	}
}

func (s *stress) countThreads() {
	text, err := os.ReadFile("/proc/self/status")
	Expect(err).NotTo(HaveOccurred())
	_, count, _ := strings.Cut(string(text), "\nThreads:\t")
	count, _, _ = strings.Cut(count, "\n")
	threads, err := strconv.ParseInt(count, 10, 64)
	Expect(err).NotTo(HaveOccurred())
	for {
		most := s.threads.Load()
		if threads <= most || s.threads.CompareAndSwap(most, threads) {
			return
		}
	}
}
