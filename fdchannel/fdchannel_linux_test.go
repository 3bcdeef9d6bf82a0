package fdchannel_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/fdtest"
)

var _ = Describe("NewConnectedSockets", func() {
	It("returns the bare errno EMFILE if the descriptor table is full", func() {
		withoutFree(func() {
			socks, err := fdchannel.NewConnectedSockets()
			errno(err, syscall.EMFILE)
			Expect(socks).To(Equal([2]int{-1, -1}))
		})
	})
})

var _ = DescribeTableSubtree("the Endpoint method", func(recv receive) {
	var c *channel
	BeforeEach(func() { c = connect() })

	It("returns an error, and not an earlier descriptor, if the descriptor table is full", func() {
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed())
		stale, err := recv(c.b)
		c.receives(stale, err, sent)

		other := c.file()
		Expect(c.a.SendFD(other)).To(Succeed())
		var fd int
		withoutFree(func() { fd, err = recv(c.b) })
		Expect(lost(fd, err)).To(BeNil(), "the cause")
		Expect(fdtest.Same(stale, sent)).To(BeTrue(), "the descriptor received before now refers to another file")
		c.works()
	})

	It("rejects a message whose credentials took up the space for the descriptor", func() {
		Expect(unix.SetsockoptInt(c.bs, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)).To(Succeed())
		Expect(c.a.SendFD(c.file())).To(Succeed())
		Expect(lost(recv(c.b))).To(BeNil(), "perhaps no descriptor was lost")
	})

	It("rejects and closes a pidfd", func() {
		if err := unix.SetsockoptInt(c.bs, unix.SOL_SOCKET, unix.SO_PASSPIDFD, 1); errors.Is(err, unix.ENOPROTOOPT) {
			Skip("no SO_PASSPIDFD: Linux has it from version 6.5 on")
		}
		before := fdtest.Take()
		Expect(unix.Write(c.as, []byte("x"))).To(Equal(1))
		fd, err := recv(c.b)
		Expect(err).To(HaveOccurred())
		Expect(fd).To(Equal(-1))
		Expect(fdtest.Take()).To(Equal(before), "open descriptors and their files")
		sent := c.file()
		Expect(c.a.SendFD(sent)).To(Succeed())
		if fd, err = recv(c.b); err == nil { // the kernel added no pidfd
			c.receives(fd, err, sent)
		} else {
			Expect(lost(fd, err)).To(BeNil(), "the message carried only one descriptor")
		}
	})
}, bothReceives)

var _ = DescribeTableSubtree("Shutdown at", func(end func(c *channel) *fdchannel.Endpoint) {
	var c *channel
	BeforeEach(func() { c = connect() })

	It("ends receives that are waiting at either end", func() {
		var wg sync.WaitGroup
		results := make(chan error, 2)
		for _, ep := range []*fdchannel.Endpoint{c.a, c.b} {
			blocked(&wg, unix.SYS_RECVMSG, func() {
				_, err := ep.RecvFD()
				results <- err
			})
		}
		end(c).Shutdown()
		wg.Wait()
		for range 2 {
			none(-1, <-results)
		}
	})

	It("ends sends that are waiting at either end, with EPIPE", func() {
		var wg sync.WaitGroup
		results := make(chan error, 2)
		sent := c.file()
		for sock, ep := range map[int]*fdchannel.Endpoint{c.as: c.a, c.bs: c.b} {
			for { // until the buffer is full
				m := scm.Message{FDs: []int{sent}}
				if err := scm.Send(sock, &m, unix.MSG_DONTWAIT); err != nil {
					Expect(err).To(MatchError(unix.EAGAIN))
					break
				}
			}
			blocked(&wg, unix.SYS_SENDMSG, func() { results <- ep.SendFD(sent) })
		}
		end(c).Shutdown()
		wg.Wait()
		for range 2 {
			errno(<-results, syscall.EPIPE)
		}
	})
}, bothEnds)

// blocked runs a call in a goroutine, and returns as soon as the thread waits in the system call.
func blocked(wg *sync.WaitGroup, call int, run func()) {
	GinkgoHelper()
	thread := make(chan int, 1)
	wg.Add(1)
	go func() {
		defer wg.Done()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		run()
	}()
	state := fmt.Sprintf("/proc/self/task/%d/syscall", <-thread)
	Eventually(func() (string, error) {
		text, err := os.ReadFile(state)
		return strings.TrimSpace(string(text)), err
	}).Should(HavePrefix("%d ", call), "the system call in which the thread waits")
}

// withoutFree runs call while the descriptor table is full.
func withoutFree(call func()) {
	GinkgoHelper()
	fdtest.Take() // starts the runtime's poller, which has descriptors of its own
	var limit unix.Rlimit
	Expect(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed())
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max})).To(Succeed())
	defer func() { Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)).To(Succeed()) }()
	call()
}
