package fdchannel_test

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/internal/spectest"
)

var _ = DescribeTable("Shutdown ends calls that wait at either end", func(call int, wait func(*fdchannel.Endpoint) error, want OmegaMatcher) {
	c := connect()
	var wg sync.WaitGroup
	results := make(chan error, 2)
	for sock, ep := range map[int]*fdchannel.Endpoint{c.as: c.a, c.bs: c.b} {
		var fill error // until the buffer is full
		for call == unix.SYS_SENDMSG && fill == nil {
			fill = scm.Send(sock, &scm.Message{FDs: []int{0}}, unix.MSG_DONTWAIT)
		}
		thread := make(chan int, 1)
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			thread <- unix.Gettid()
			results <- wait(ep)
		}()
		state := fmt.Sprintf("/proc/self/task/%d/syscall", <-thread)
		Eventually(os.ReadFile).WithTimeout(spectest.Hang).WithArguments(state).Should(
			WithTransform(func(text []byte) string { return string(text) }, HavePrefix("%d ", call)))
	}
	c.a.Shutdown()
	wg.Wait()
	Expect([]error{<-results, <-results}).To(HaveEach(want))
},
	Entry("RecvFD", unix.SYS_RECVMSG, func(ep *fdchannel.Endpoint) error { return spectest.Second(ep.RecvFD()) },
		MatchError(ContainSubstring("no descriptor"))),
	Entry("SendFD", unix.SYS_SENDMSG, func(ep *fdchannel.Endpoint) error { return ep.SendFD(0) }, Equal(syscall.EPIPE)),
)
