//go:build linux

package scm_test

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strconv"
	"sync"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	. "github.com/scm-rights/scm/internal/spectest"
)

// failed matches the error of a system call of that name that failed with errno.
func failed(call string, errno unix.Errno) types.GomegaMatcher {
	return WithTransform(func(err error) (e os.SyscallError) {
		if found := new(os.SyscallError); errors.As(err, &found) {
			e = *found
		}
		return e
	}, Equal(os.SyscallError{Syscall: call, Err: errno}))
}

// failsWith checks that the system call of that name failed with errno.
func failsWith(err error, call string, errno unix.Errno) {
	GinkgoHelper()
	Expect(err).To(failed(call, errno))
}

// writeFails calls WriteFD, which must fail.
func writeFails(sock int, p []byte, fd int, errno unix.Errno) {
	GinkgoHelper()
	n, err := scm.WriteFD(sock, p, fd)
	failsWith(err, "sendmsg", errno)
	Expect(n).To(Equal(-1))
}

// readFails calls ReadFD, which must fail.
func readFails(sock int, errno unix.Errno) {
	GinkgoHelper()
	n, fd, err := scm.ReadFD(sock, make([]byte, 1))
	failsWith(err, "recvmsg", errno)
	Expect([]int{n, fd}).To(Equal([]int{-1, -1}))
}

// sendFails calls Send, which must fail and leave N at 0.
func sendFails(sock int, payload string, errno unix.Errno, fds ...int) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{[]byte(payload)}, FDs: fds, N: 7}
	failsWith(scm.Send(sock, &m, 0), "sendmsg", errno)
	Expect(m.N).To(Equal(0))
}

// recvFails calls Recv, which must fail and clear its results.
func recvFails(sock int, errno unix.Errno) {
	GinkgoHelper()
	m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), N: 7, NFD: 7, Flags: 7}
	failsWith(scm.Recv(sock, &m, 0), "recvmsg", errno)
	Expect([]int{m.N, m.NFD, m.Flags}).To(Equal([]int{0, 0, 0}))
}

// allFail makes each of the four calls on a socket. All must fail.
func (f *fixture) allFail(sock int, errno unix.Errno) {
	GinkgoHelper()
	fd := f.file()
	writeFails(sock, []byte("x"), fd, errno)
	readFails(sock, errno)
	sendFails(sock, "x", errno, fd)
	recvFails(sock, errno)
}

var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	BeforeEach(func() { f = connect(typ) })

	It("every call that fails returns an *os.SyscallError, and clears N, NFD and Flags", func() {
		f.allFail(-1, unix.EBADF)
	})

	It("every call fails with EBADF for a descriptor that does not fit into an int32, even if its low 32 bits are an open descriptor", func() {
		if strconv.IntSize == 32 {
			Skip("int has 32 bits here: there is no such number")
		}
		for _, upper := range []int64{1 << 32, -1 << 32, 1 << 40, math.MinInt64} {
			alias := func(fd int) int { return int(upper + int64(fd)) }
			file := f.file()
			writeFails(f.a, []byte("x"), alias(file), unix.EBADF)
			sendFails(f.a, "x", unix.EBADF, file, alias(file))
			f.allFail(alias(f.a), unix.EBADF)
			isEmpty(f.b)
		}
	})

	It("after an interrupted recvmmsg has left error 512 (ERESTARTSYS) on the socket, one call fails with EINTR", func() {
		f.a, f.b = f.pair(typ)
		fd := f.file()
		for _, next := range []func(){
			func() { readFails(f.b, unix.EINTR) },
			func() { recvFails(f.b, unix.EINTR) },
			func() { writeFails(f.b, []byte("x"), fd, unix.EINTR) },
			func() { sendFails(f.b, "x", unix.EINTR, fd) },
		} {
			f.sends("x")
			leavesRestartSys(f.b)
			next()
			for _, sock := range []int{f.a, f.b} {
				_, _, err := unix.Recvfrom(sock, make([]byte, 1), unix.MSG_DONTWAIT)
				Expect(err).To(MatchError(unix.EAGAIN))
			}
		}
	})
}, everyType)

// leavesRestartSys receives the one queued message from a blocking socket with recvmmsg(2), which a signal interrupts
// while it waits for a second one. Linux leaves its internal error 512 (ERESTARTSYS) in the socket, and returns it from
// the next call, of any process that holds the socket.
func leavesRestartSys(sock int) {
	GinkgoHelper()
	var headers [2]struct {
		hdr unix.Msghdr
		len uint32
	}
	for i := range headers {
		iov := unix.Iovec{Base: new(byte)}
		iov.SetLen(1)
		headers[i].hdr.Iov = &iov
		headers[i].hdr.SetIovlen(1)
	}
	interrupted(func() {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(sock), uintptr(unsafe.Pointer(&headers)), 2, 0, 0, 0)
		Expect([]int{int(n), int(errno)}).To(Equal([]int{1, 0}))
	})
}

// interrupted sends signals to the thread that makes the call until the call returns.
func interrupted(call func()) {
	GinkgoHelper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := unix.Getpid(), unix.Gettid()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGURG) // the runtime's handler for it does nothing
				runtime.Gosched()
			}
		}
	}()
	defer wg.Wait()
	defer close(done)
	call()
}

var _ = It("a send over TCP succeeds, but Linux drops the descriptors", func() {
	f := connect(unix.SOCK_STREAM)
	near, far := tcpPair()
	f.a, f.b = FDOf(near), FDOf(far)
	Expect(unix.SetNonblock(f.b, false)).To(Succeed())
	fd := f.file()
	Expect(scm.WriteFD(f.a, []byte("tcp"), fd)).To(Equal(3))
	f.readsNone(make([]byte, 3), 3)
	f.sends("tcp", fd)
	f.receives(3, 1, 0, "tcp", 0)
})

var _ = It("a send to a closed connection does not kill the process with SIGPIPE, even if the socket is standard output", func() {
	f := connect(unix.SOCK_STREAM)
	a, b := f.pair(unix.SOCK_STREAM)
	f.CloseNow(b)
	cmd := ChildCommand("epipe")
	cmd.Stdout = asFile(a)
	RunChild(cmd)
})

var _ = Child("epipe", func([]string) {
	writeFails(1, []byte("x"), 0, unix.EPIPE)
	sendFails(1, "x", unix.EPIPE, 0)
})
