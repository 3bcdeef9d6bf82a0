//go:build linux

package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// manager is a datagram socket that is bound to the name, and the name in
// NOTIFY_SOCKET.
func (f *fixture) manager(name string) int {
	GinkgoHelper()
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	f.Own(sock)
	hangsNoMore(sock)
	Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: name})).To(Succeed())
	GinkgoT().Setenv("NOTIFY_SOCKET", name)
	return sock
}

func (f *fixture) dialNotify() int {
	GinkgoHelper()
	sock, err := wire.DialNotify()
	Expect(err).NotTo(HaveOccurred())
	f.owns(sock)
	return sock
}

var _ = Describe("the service manager", func() {
	It("is asked to store descriptors and to remove them", func() {
		f := connect("unix")
		manager := f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		sock := f.dialNotify()
		sent := f.files(2)

		Expect(wire.NotifyStore(sock, "foo", sent...)).To(Succeed())
		state, fds, err := wire.Notify.Recv(manager)
		Expect(err).NotTo(HaveOccurred())
		Expect(state).To(Equal("FDSTORE=1\nFDNAME=foo"))
		f.takes(fds, sent...)

		Expect(wire.NotifyRemove(sock, "foo")).To(Succeed())
		state, fds, err = wire.Notify.Recv(manager)
		Expect(err).NotTo(HaveOccurred())
		Expect(state).To(Equal("FDSTOREREMOVE=1\nFDNAME=foo"))
		Expect(fds).To(BeEmpty())
	})

	It("is found by an abstract name", func() {
		f := connect("unix")
		manager := f.manager("@" + filepath.Base(GinkgoT().TempDir()) + "/scm-wire")
		Expect(wire.Notify.Send(f.dialNotify(), "READY=1")).To(Succeed())
		state, _, err := wire.Notify.Recv(manager)
		Expect(err).NotTo(HaveOccurred())
		Expect(state).To(Equal("READY=1"))
	})

	It("is dialled by a socket that is close-on-exec from the first instant", func(ctx SpecContext) {
		cannotEmulate(fdtest.Traced)
		f := connect("unix")
		f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		strace := program("strace", "strace")
		if why, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
			fdtest.Missing(GinkgoTB(), "strace may not trace here: "+string(why))
		}
		self, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		record := filepath.Join(GinkgoT().TempDir(), "calls")
		cmd := exec.CommandContext(ctx, strace, "-f", "-o", record, "-e", "trace=socket", self)
		cmd.Env = append(os.Environ(), childEnvironment("dial-notify")...)
		Expect(cmd.Run()).To(Succeed())
		Expect(os.ReadFile(record)).To(ContainSubstring("socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0)"))
	}, NodeTimeout(patience))

	It("may not be there", func() {
		GinkgoT().Setenv("NOTIFY_SOCKET", "")
		_, err := wire.DialNotify()
		Expect(err).To(Equal(wire.ErrNoNotifySocket))
		Expect(os.Unsetenv("NOTIFY_SOCKET")).To(Succeed())
		_, err = wire.DialNotify()
		Expect(err).To(Equal(wire.ErrNoNotifySocket))

		before := fdtest.Take()
		GinkgoT().Setenv("NOTIFY_SOCKET", filepath.Join(GinkgoT().TempDir(), "nobody"))
		_, err = wire.DialNotify()
		Expect(err).To(MatchError(unix.ENOENT))
		Expect(before.NewSince()).To(BeEmpty())
		GinkgoT().Setenv("NOTIFY_SOCKET", "vsock:2:1234")
		_, err = wire.DialNotify()
		Expect(err).To(beFormatError(wire.Notify, "vsock:2:1234"))
	})

	It("is not asked to store under a name that it would refuse, or nothing", func() {
		f := connect("unixgram")
		for _, name := range []string{"", "a:b", "a\nb", "é", strings.Repeat("n", 256)} {
			Expect(wire.NotifyStore(f.a, name, f.file(""))).To(beFormatError(wire.Notify, "the name"))
			Expect(wire.NotifyRemove(f.a, name)).To(beFormatError(wire.Notify, "the name"))
		}
		Expect(wire.NotifyStore(f.a, "foo")).To(beFormatError(wire.Notify, "0 descriptors to send"))
		isEmpty(f.b)
	})

	It("takes a state with one 0 byte behind it", func() {
		f := connect("unixgram")
		sends(f.a, "READY=1\x00")
		state, _, err := wire.Notify.Recv(f.b)
		Expect(err).NotTo(HaveOccurred())
		Expect(state).To(Equal("READY=1"))
	})
})

var _ = child("dial-notify", func([]string) error {
	sock, err := wire.DialNotify()
	if err != nil {
		return err
	}
	return unix.Close(sock)
})

var _ = Describe("a barrier", func() {
	It("ends when the manager closes its descriptor", func(ctx SpecContext) {
		f := connect("unixgram")
		before := fdtest.Take()
		var closed atomic.Bool
		done, early := make(chan error, 1), false
		go func() {
			err := wire.NotifyBarrier(ctx, f.a)
			early = !closed.Load()
			done <- err
		}()
		state, fds, err := wire.Notify.Recv(f.b)
		Expect(err).NotTo(HaveOccurred())
		Expect(state).To(Equal("BARRIER=1"))
		Expect(fds).To(HaveLen(1))
		closed.Store(true)
		Expect(unix.Close(fds[0])).To(Succeed())
		Expect(<-done).NotTo(HaveOccurred())
		Expect(early).To(BeFalse(), "it did not wait")
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(patience))

	It("has a deadline, and can be called off", func(ctx SpecContext) {
		unanswered, f := connect("unixgram"), connect("unixgram")
		before := fdtest.Take()
		barrier := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() { done <- wire.NotifyBarrier(ctx, f.a) }()
			return done
		}
		answer := func() {
			GinkgoHelper()
			_, fds, err := wire.Notify.Recv(f.b)
			Expect(err).NotTo(HaveOccurred())
			Expect(fds).To(HaveLen(1))
			Expect(unix.Close(fds[0])).To(Succeed())
		}

		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		Expect(wire.NotifyBarrier(short, unanswered.a)).To(Equal(context.DeadlineExceeded))

		called, cancel := context.WithCancel(ctx)
		done := barrier(called)
		Expect(again(func() error {
			_, _, err := unix.Recvfrom(f.b, make([]byte, 1), unix.MSG_PEEK)
			return err
		})).To(Succeed())
		cancel()
		Expect(<-done).To(Equal(context.Canceled))
		answer()
		Expect(<-barrier(called)).To(Equal(context.Canceled))
		isEmpty(f.b)
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(patience))

	It("ends with its context while there is no room to send it", func(ctx SpecContext) {
		f := connect("unixgram")
		manager := f.manager(filepath.Join(GinkgoT().TempDir(), "notify"))
		before := fdtest.Take()
		sock := f.dialNotify()
		for err := error(nil); err == nil; {
			err = unix.Sendto(sock, []byte("x"), unix.MSG_DONTWAIT, nil)
		}
		called, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- wire.NotifyBarrier(called, sock) }()
		Eventually(ctx, done).WithTimeout(patience / 2).Should(Receive(Equal(context.DeadlineExceeded)))

		// A context without an end waits, too, whatever the mode and the limit of the socket are.
		Expect(unix.SetsockoptTimeval(sock, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 1000})).To(Succeed())
		Expect(unix.SetNonblock(sock, true)).To(Succeed())
		go func() { done <- wire.NotifyBarrier(context.Background(), sock) }()
		Consistently(done, "50ms").ShouldNot(Receive())
		for {
			state, fds, err := wire.Notify.Recv(manager)
			Expect(err).NotTo(HaveOccurred())
			if state == "BARRIER=1" {
				Expect(unix.Close(fds[0])).To(Succeed())
				break
			}
		}
		Expect(<-done).NotTo(HaveOccurred())
		Expect(before.NewSince()).To(HaveLen(1), "but for the socket")
	}, NodeTimeout(patience))

	It("ends with its context while the manager holds the pipe locked", func(ctx SpecContext) {
		cannotEmulate(fdtest.HostCalls)
		f, source := connect("unixgram"), connect("unix")
		before := fdtest.Take()
		cmd := childCommand(ctx, "hold-pipe")
		stdout, err := cmd.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		manager := begin(cmd, f.b, source.b)
		called, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- wire.NotifyBarrier(called, f.a) }()
		said, err := bufio.NewReader(stdout).ReadString('\n')
		Expect(err).NotTo(HaveOccurred())
		if reason, skipped := strings.CutPrefix(said, "skip: "); skipped {
			Skip("/proc does not show here when the manager has locked the pipe: " + reason)
		}
		cancel()
		// At the latest when the manager gives up, with which it fails.
		Eventually(ctx, done).WithTimeout(2 * holdPatience).Should(Receive(Equal(context.Canceled)))
		source.CloseNow(source.a)
		manager.succeeds()
		Eventually(ctx, before.NewSince).Should(BeEmpty())
	}, NodeTimeout(patience))

	It("that cannot be sent is an error", func(ctx SpecContext) {
		f := connect("unixgram")
		before := fdtest.Take()
		f.CloseNow(f.b)
		Expect(wire.NotifyBarrier(ctx, f.a)).To(MatchError(unix.ECONNREFUSED))
		Expect(before.NewSince()).To(BeEmpty())
	}, NodeTimeout(patience))
})

// hold-pipe is a manager, with its socket as 3, that holds the pipe of a barrier locked: it
// splices into it from socket 4, where nothing comes. It says so. The end of the other
// socket ends that; without it, it fails after holdPatience.
var _ = child("hold-pipe", func([]string) error {
	limit := unix.NsecToTimeval(int64(holdPatience))
	if err := unix.SetsockoptTimeval(4, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return err
	}
	_, fds, err := wire.Notify.Recv(3)
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("received %v, %w", fds, err)
	}
	if err := unix.SetNonblock(fds[0], false); err != nil { // or splice does not wait
		return err
	}
	thread, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		_, err := unix.Splice(4, nil, fds[0], nil, 1, 0)
		ended <- err
	}()
	// The file begins with the number of the system call in which the thread waits.
	call, inSplice := fmt.Sprintf("/proc/self/task/%d/syscall", <-thread), []byte(strconv.Itoa(unix.SYS_SPLICE)+" ")
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("splice did not wait: %w", err)
		default:
		}
		now, err := os.ReadFile(call)
		if err != nil {
			fmt.Println("skip:", err)
			return nil
		}
		if bytes.HasPrefix(now, inSplice) {
			break
		}
	}
	fmt.Println("held")
	if err := <-ended; err != nil {
		return fmt.Errorf("the pipe was held for %s: %w", holdPatience, err)
	}
	return nil
})

// holdPatience is longer than any NotifyBarrier whose context is done.
const holdPatience = 10 * time.Second
