package scm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/internal/ownthread"
	. "github.com/scm-rights/scm/internal/spectest"
)

// A waitable is a file whose Read can wait.
type waitable struct {
	file *os.File // the sender's file, which is non-blocking
	wake func()   // makes the file ready for one Read
	end  func()   // releases everything else that was opened
}

// waitables open the files. The functions also run in child processes, where no spec cleans up.
var waitables = map[string]func() (waitable, error){
	"a pipe": func() (waitable, error) {
		r, w, err := os.Pipe()
		return waitable{r, writerOf(w, "x"), closerOf(w)}, err
	},
	"a pseudoterminal master": func() (waitable, error) {
		master, slave, err := terminal()
		return waitable{master, writerOf(slave, "x"), closerOf(slave)}, err
	},
	"a pseudoterminal slave": func() (waitable, error) {
		master, slave, err := terminal()
		return waitable{slave, writerOf(master, "x\n"), closerOf(master)}, err
	},
	"an eventfd": func() (waitable, error) {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		f := os.NewFile(uintptr(fd), "eventfd")
		return waitable{f, writerOf(f, "\x01\x01\x01\x01\x01\x01\x01\x01"), func() {}}, err
	},
	"a timerfd": func() (waitable, error) {
		fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
		wake := func() {
			Expect(unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}}, nil)).To(Succeed())
		}
		return waitable{os.NewFile(uintptr(fd), "timerfd"), wake, func() {}}, err
	},
	"an inotify descriptor": func() (waitable, error) {
		dir, err := os.MkdirTemp("", "")
		if err != nil {
			return waitable{}, err
		}
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
		}
		wake := func() { Expect(os.Mkdir(filepath.Join(dir, "new"), 0o700)).To(Succeed()) }
		return waitable{os.NewFile(uintptr(fd), "inotify"), wake, func() { _ = os.RemoveAll(dir) }}, err
	},
	"a fanotify descriptor": func() (waitable, error) {
		dir, err := os.MkdirTemp("", "")
		if err != nil {
			return waitable{}, err
		}
		// With FAN_REPORT_FID, an event has no descriptor.
		fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_FID|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, 0)
		if err == nil {
			err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_CREATE|unix.FAN_ONDIR, unix.AT_FDCWD, dir)
			if err != nil {
				_ = unix.Close(fd)
			}
		}
		if err != nil {
			return waitable{}, errors.Join(err, os.Remove(dir))
		}
		wake := func() { Expect(os.Mkdir(filepath.Join(dir, "new"), 0o700)).To(Succeed()) }
		return waitable{os.NewFile(uintptr(fd), "fanotify"), wake, func() { _ = os.RemoveAll(dir) }}, nil
	},
	"a userfaultfd": userfaultfd,
	"a netlink socket": func() (waitable, error) {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_USERSOCK)
		if err != nil {
			return waitable{}, err
		}
		f := os.NewFile(uintptr(fd), "netlink")
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return waitable{}, errors.Join(err, f.Close())
		}
		wake := func() {
			sender := ok(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_USERSOCK))
			defer func() { _ = unix.Close(sender) }()
			Expect(unix.Sendto(sender, []byte("x"), 0, ok(unix.Getsockname(fd)))).To(Succeed())
		}
		return waitable{f, wake, func() {}}, nil
	},
	"a packet socket": func() (waitable, error) {
		// An otherwise unused EtherType, in network byte order. Suites that run at the same time use different ones.
		pid := os.Getpid()
		protocol := binary.NativeEndian.Uint16([]byte{0xb0 | byte(pid>>8)&0xf, byte(pid)})
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol))
		if err != nil {
			return waitable{}, err
		}
		f := os.NewFile(uintptr(fd), "packet")
		to := &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: 1, Halen: 6}
		err = unix.Bind(fd, to)
		if failed, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && failed != 0 {
			err = unix.Errno(failed) // the loopback interface is down
		}
		if err != nil {
			return waitable{}, errors.Join(err, f.Close())
		}
		wake := func() { Expect(unix.Sendto(fd, []byte("x"), 0, to)).To(Succeed()) }
		return waitable{f, wake, func() {}}, nil
	},
	"a TUN device": func() (waitable, error) {
		fd, request, err := tun()
		if err != nil {
			return waitable{}, err
		}
		wake := func() {
			// The interface was down, so that the kernel did not send anything of its own.
			request.SetUint16(unix.IFF_UP)
			sender := ok(unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0))
			defer func() { _ = unix.Close(sender) }()
			Expect(unix.IoctlIfreq(sender, unix.SIOCSIFFLAGS, request)).To(Succeed())
			Expect(unix.IoctlIfreq(sender, unix.SIOCGIFINDEX, request)).To(Succeed())
			packet := make([]byte, 20) // an empty IP packet
			packet[0] = 0x45
			ip := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
			Expect(unix.Sendto(sender, packet, 0, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: int(request.Uint32())})).To(Succeed())
		}
		return waitable{os.NewFile(uintptr(fd), "tun"), wake, func() {}}, nil
	},
	"a pidfd": func() (waitable, error) {
		cmd := exec.Command("cat")
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return waitable{}, err
		}
		wake := func() { _ = stdin.Close() }
		end := func() {
			wake()
			_ = cmd.Wait()
		}
		fd, err := unix.PidfdOpen(cmd.Process.Pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			end()
		}
		return waitable{os.NewFile(uintptr(fd), "pidfd"), wake, end}, err
	},
	"a signalfd": func() (waitable, error) {
		set := signals(unix.SIGUSR2)
		fd, err := unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
		wake := func() { Expect(unix.Kill(os.Getpid(), unix.SIGUSR2)).To(Succeed()) }
		return waitable{os.NewFile(uintptr(fd), "signalfd"), wake, func() {}}, err
	},
}

// userfaultfd returns one for a page. Removing the page is an event, and waits until the event is read.
func userfaultfd() (waitable, error) {
	const flags, userModeOnly = unix.O_CLOEXEC | unix.O_NONBLOCK, 1 // any user may create one for user mode
	r, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, flags|userModeOnly, 0, 0)
	if errno == unix.EINVAL { // before Linux 5.11
		r, _, errno = unix.Syscall(unix.SYS_USERFAULTFD, flags, 0, 0)
	}
	if errno != 0 {
		return waitable{}, errno
	}
	f := os.NewFile(r, "userfaultfd")
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return waitable{}, errors.Join(err, f.Close())
	}
	// The structures and numbers are those of linux/userfaultfd.h.
	const uffdioAPI, uffdioRegister, api, eventRemove, missing = 0xc018aa3f, 0xc020aa00, 0xaa, 1 << 3, 1
	handshake := [3]uint64{api, eventRemove}
	register := [4]uint64{uint64(uintptr(unsafe.Pointer(&page[0]))), uint64(len(page)), missing}
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, r, uffdioAPI, uintptr(unsafe.Pointer(&handshake)))
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, r, uffdioRegister, uintptr(unsafe.Pointer(&register)))
	}
	if errno != 0 {
		return waitable{}, errors.Join(errno, unix.Munmap(page), f.Close())
	}
	var removing sync.WaitGroup
	wake := func() {
		removing.Add(1)
		go func() {
			defer removing.Done()
			_ = unix.Madvise(page, unix.MADV_DONTNEED)
		}()
	}
	end := func() {
		removing.Wait()
		_ = unix.Munmap(page)
	}
	return waitable{f, wake, end}, nil
}

// tun opens a TUN device with a new interface. The request has the interface's name.
func tun() (fd int, request *unix.Ifreq, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, err
	}
	request, err = unix.NewIfreq("scm%d")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return fd, request, err
}

func writerOf(f *os.File, text string) func() {
	return func() { Expect(f.WriteString(text)).To(Equal(len(text))) }
}

func closerOf(f *os.File) func() { return func() { _ = f.Close() } }

// signals returns the set of one signal.
func signals(s syscall.Signal) (set unix.Sigset_t) {
	bits := strconv.IntSize
	set.Val[(int(s)-1)/bits] |= 1 << ((int(s) - 1) % bits)
	return set
}

// terminal opens a pseudoterminal as a Go program does. Both files are non-blocking.
func terminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := FDOf(master)
	err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	if err == nil {
		var number uint32
		if number, err = unix.IoctlGetUint32(fd, unix.TIOCGPTN); err == nil {
			slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
		}
	}
	if err != nil {
		_ = master.Close()
	}
	return master, slave, err
}

// waitForFile reads from a file. A pidfd cannot be read: it is ready when its process has ended.
func waitForFile(f *os.File, isPIDFD bool) error {
	if !isPIDFD {
		_, err := f.Read(make([]byte, 1024))
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return n == 1 || err != nil && err != unix.EINTR
	})
}

// waitsAndWakes passes two files of a kind, and checks that a wait for a received file ends when the file
// becomes ready, by a deadline, and by Close.
func waitsAndWakes(kind string, take func(c *scm.Conn) *os.File) {
	GinkgoHelper()
	a, b := both(scm.Pair("unixpacket"))
	defer func() { Expect(errors.Join(a.Close(), b.Close())).To(Succeed()) }()
	var wake, end func()
	// pass returns a received file. The sender's remains open.
	pass := func() *os.File {
		w := ok(waitables[kind]())
		Expect(a.SendFile("x", w.file)).To(Succeed())
		wake, end = w.wake, func() {
			_ = w.file.Close()
			w.end()
		}
		f := take(b)
		Expect(statusOf(f)&unix.O_NONBLOCK).NotTo(BeZero(), "the sender's flag")
		return f
	}
	wait := func(f *os.File, interrupt func()) (err error) {
		ended := make(chan error, 1)
		go func() { ended <- waitForFile(f, kind == "a pidfd") }()
		Eventually(func() bool { return len(ended) > 0 || waiting("waitForFile") > 0 }, Hang, time.Millisecond).Should(BeTrue())
		Expect(ended).To(BeEmpty(), func() string { return fmt.Sprint("the call did not wait: ", <-ended) })
		interrupt()
		Eventually(ended, Hang).Should(Receive(&err), "the wait did not end")
		return err
	}

	f := pass()
	Expect(wait(f, func() { Expect(f.SetReadDeadline(time.Now())).To(Succeed()) })).To(MatchError(os.ErrDeadlineExceeded))
	Expect(f.SetReadDeadline(time.Time{})).To(Succeed())
	Expect(wait(f, wake)).To(Succeed())
	Expect(f.Close()).To(Succeed())
	end()

	f = pass()
	// RawConn.Read returns an error of package internal/poll.
	Expect(wait(f, func() { Expect(f.Close()).To(Succeed()) })).To(
		Or(MatchError(os.ErrClosed), MatchError("use of closed file")))
	end()
}

var _ = Describe("if the sender set O_NONBLOCK,", func() {
	for _, kind := range slices.Sorted(maps.Keys(waitables)) {
		if kind == "a signalfd" {
			continue // it needs its own process
		}
		for _, taker := range slices.Sorted(maps.Keys(takers)) {
			It("a Read of "+kind+" received with "+taker+" waits until the file is ready, a deadline passes, or the file is closed", func() {
				checkNoLeak()
				w, err := waitables[kind]()
				if errors.Is(err, os.ErrPermission) {
					fdtest.NeedRoot(GinkgoTB(), "make "+kind)
				}
				if err != nil {
					Skip("cannot make " + kind + ": " + err.Error())
				}
				_ = w.file.Close()
				w.end()
				waitsAndWakes(kind, takers[taker])
			})
		}
	}

	It("a Read of a received signalfd waits until the file is ready, a deadline passes, or the file is closed", func() {
		// A signalfd receives only signals that every thread blocks. A child inherits the mask.
		var err error
		ownthread.Run(func() {
			set := signals(unix.SIGUSR2)
			if err = unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err == nil {
				cmd := ChildCommand("signalfd")
				cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
				err = cmd.Run()
			}
		})
		Expect(err).NotTo(HaveOccurred())
	})

	It("a Read of a received anonymous file fails with EAGAIN if /proc does not show the name of the file", func() {
		cmd := ChildCommand("without-proc")
		if os.Geteuid() != 0 {
			cmd.SysProcAttr = inUserNamespace()
		}
		if reason := RunChild(cmd); reason != "" {
			Skip(reason)
		}
	})
})

// signalfd runs with SIGUSR2 blocked in every thread.
var _ = Child("signalfd", func([]string) {
	for _, taker := range slices.Sorted(maps.Keys(takers)) {
		waitsAndWakes("a signalfd", takers[taker])
	}
})

// without-proc receives files in a thread whose mount namespace has no /proc.
var _ = Child("without-proc", func([]string) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("nothing", "/proc", "tmpfs", 0, "")
	}
	if err != nil {
		_, _ = os.Stdout.WriteString("/proc cannot be hidden here: " + err.Error())
		return
	}
	for _, kind := range []string{"a pipe", "a pseudoterminal master", "a netlink socket"} {
		if w, err := waitables[kind](); err == nil {
			_ = w.file.Close()
			w.end()
			waitsAndWakes(kind, takers["RecvFile"])
		}
	}

	a, b := both(scm.Pair("unix"))
	w := ok(waitables["an eventfd"]())
	Expect(a.SendFile("x", w.file)).To(Succeed())
	f := ok(b.RecvFile())
	Expect(f.SetReadDeadline(time.Now())).To(MatchError(os.ErrNoDeadline))
	w.wake()
	p := make([]byte, 8)
	Expect(f.Read(p)).To(Equal(len(p)))
	Expect(Second(f.Read(p))).To(MatchError(unix.EAGAIN))

	// This is what NewFile's documentation advises.
	Expect(scm.SetNonblock(f, false)).To(Succeed())
	read := start(func() { Expect(f.Read(p)).To(Equal(len(p))) })
	w.wake()
	read()
	Expect(errors.Join(f.Close(), w.file.Close(), a.Close(), b.Close())).To(Succeed())
})

// takers are the ways to receive a file.
var takers = func() map[string]func(c *scm.Conn) *os.File {
	all := map[string]func(c *scm.Conn) *os.File{
		"Config.Expect": func(c *scm.Conn) *os.File {
			return ok(ok(scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}.NewConn(c.UnixConn)).RecvFile())
		},
	}
	for name, call := range receiving {
		if call.receives != oneSocket {
			all[name] = func(c *scm.Conn) *os.File {
				_, files := both(call.receive(c, make([]byte, 1), 1))
				return files[0]
			}
		}
	}
	return all
}()

// hostile-file receives a file. It ends once a timer, a Read that waits in the poller, and a garbage collection that
// stops every goroutine have shown that the runtime still runs.
var _ = Child("hostile-file", func(args []string) {
	c := ok(scm.NewConnFD(3))
	Expect(c.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	f := takers[args[0]](c)
	runtime.GC()
	r, w := both(os.Pipe())
	time.AfterFunc(time.Millisecond, func() { _ = w.Close() })
	Expect(io.ReadAll(r)).To(BeEmpty())
	Expect(f.Close()).To(Succeed())
})

var _ = Describe("a FUSE server that does not answer a poll", func() {
	for _, taker := range slices.Sorted(maps.Keys(takers)) {
		It("cannot block a process that receives its file with "+taker, func() {
			server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
			server.Hush(fusetest.Poll) // the server does not answer poll requests
			f := connect(unix.SOCK_STREAM)
			// The path ends like the kernel's name for an eventfd. The server accepts any name.
			name := filepath.Join(filepath.Dir(server.File), "anon_inode:[eventfd]")
			fd := f.own(unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))
			Expect(scm.WriteFD(f.a, []byte("x"), fd)).To(Equal(1))

			victim := ChildCommand("hostile-file", taker)
			victim.ExtraFiles, victim.Stderr = []*os.File{asFile(f.b)}, GinkgoWriter
			Expect(victim.Start()).To(Succeed())
			ended := make(chan error, 1)
			go func() { ended <- victim.Wait() }()
			select {
			case err := <-ended:
				Expect(err).NotTo(HaveOccurred())
			case <-server.Waiting:
				server.Release()
				Fail("the victim's poller has asked the partner")
			case <-time.After(Hang):
				server.Release()
				Fail("the victim stands still")
			}
		})
	}
})

var _ = Describe("NewFile", func() {
	polled := func(f *os.File) bool { return !errors.Is(f.SetDeadline(time.Time{}), os.ErrNoDeadline) }
	withoutPoll := []scm.Kind{scm.KindRegular, scm.KindDirectory, scm.KindMemfd}
	for _, s := range samples {
		hasPoll := s.access != "path" && !slices.Contains(withoutPoll, s.kind) && s.name != "/dev/null"
		poller := hasPoll && s.name != "an epoll descriptor" // whose poll method can wait
		adds := "never adds it to the poller"
		if poller {
			adds = "adds it to the poller only if it has O_NONBLOCK"
		}
		It("wraps "+s.name+", and "+adds, func() {
			f := connect(unix.SOCK_SEQPACKET)
			fd := f.own(s.open())
			for _, flags := range []int{0, unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_APPEND} {
				step("status flags ", flags)
				if s.access == "path" && flags != 0 {
					continue // it has no O_NONBLOCK
				}
				if s.access != "path" {
					fcntl(fd, unix.F_SETFL, flags)
				}
				status := fcntl(fd, unix.F_GETFL, 0)
				before, given := fdtest.Take(), copies(fd)[0]
				fcntl(given, unix.F_SETFD, 0)
				file := ok(scm.NewFile(given, "name"))
				Expect(file.Name()).To(Equal("name"))
				Expect(before.NewSince()).To(HaveLen(1), "the file's number alone is new")
				Expect(FDOf(file) == given).To(Equal(poller || !hasPoll), "only a file that is kept out of the poller is renumbered")
				Expect(fdtest.Same(FDOf(file), fd)).To(BeTrue())
				Expect(fdtest.CloseOnExec(FDOf(file))).To(BeTrue())
				Expect(fcntl(fd, unix.F_GETFL, 0)).To(Equal(status))
				Expect(polled(file)).To(Equal(poller && flags&unix.O_NONBLOCK != 0))
				_, err := file.WriteAt(nil, 0)
				refused := err != nil && strings.Contains(err.Error(), "O_APPEND")
				Expect(refused).To(Equal(flags&unix.O_APPEND != 0), "package os knows whether it appends: %v", err)
				Expect(file.Close()).To(Succeed())
				Expect(before.NewSince()).To(BeEmpty())
			}
		})
	}

	It("does not release the process's locks on a regular file", func() {
		path := filepath.Join(GinkgoT().TempDir(), "file")
		f := connect(unix.SOCK_SEQPACKET)
		open := func() int {
			fd := f.own(unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600))
			return fd
		}
		holder, other := open(), open()
		lock := func() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Len: 1} }
		Expect(unix.FcntlFlock(uintptr(holder), unix.F_SETLK, lock())).To(Succeed())
		locked := func() bool {
			l := lock()
			Expect(unix.FcntlFlock(uintptr(other), unix.F_OFD_GETLK, l)).To(Succeed())
			return l.Type != unix.F_UNLCK
		}
		file := closeLater(ok(scm.NewFile(ok(unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)), "")))
		Expect(locked()).To(BeTrue())
		Expect(file.Close()).To(Succeed())
		Expect(locked()).To(BeFalse(), "any close of the file removes them")
	})

	It("leaves the descriptor open and unchanged for the caller on error", func() {
		for _, fd := range []int{-1, math.MinInt, math.MaxInt} {
			file, err := scm.NewFile(fd, "")
			Expect(file).To(BeNil())
			Expect(err).To(MatchError(unix.EBADF))
		}
		cmd := ChildCommand("new-file")
		cmd.Env = append(cmd.Env, "GOGC=off") // a timer of the garbage collector would create the poller
		RunChild(cmd)
	})
})

// new-file makes files while the descriptor table is full. The runtime aborts if it cannot allocate a descriptor for
// its poller, which it creates with the first file that it polls, or with the first timer.
var _ = Child("new-file", func([]string) {
	polls := func() bool {
		return slices.ContainsFunc(openBelow(64), func(fd int) bool { return strings.Contains(fdtest.Name(fd), "eventpoll") })
	}
	Expect(polls()).To(BeFalse(), "a package variable reads a file or starts a timer")
	var p [2]int
	Expect(unix.Pipe2(p[:], unix.O_NONBLOCK)).To(Succeed())
	// it is kept out of the poller, for which NewFile needs another descriptor
	device := ok(unix.Open("/dev/random", unix.O_RDONLY, 0))
	regular := ok(unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0))

	// fdtest.WithFree would create the poller.
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 32, Max: 32})).To(Succeed())
	var fill []int
	for err := error(nil); err == nil; {
		var fd int
		if fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fill = append(fill, fd)
		}
	}
	before := openBelow(32)
	fails := func(fd int) {
		Expect(Second(scm.NewFile(fd, ""))).To(MatchError(unix.EMFILE))
		Expect(openBelow(32)).To(Equal(before))
		Expect(fdtest.CloseOnExec(fd)).To(BeFalse(), "it is unchanged")
	}
	fails(device)
	file := ok(scm.NewFile(regular, "needs no descriptor")) // its finalizer does not run: the garbage collector is off
	Expect(FDOf(file)).To(Equal(regular))
	for free := range 3 {
		fails(p[0])
		Expect(polls()).To(BeFalse())
		Expect(unix.Close(fill[free])).To(Succeed())
		before = openBelow(32)
	}
	Expect(Second(scm.NewFile(p[0], ""))).To(Succeed())
	Expect(polls()).To(BeTrue())
})

// openBelow returns the open descriptors below max, and opens none to find out.
func openBelow(max int) (open []int) {
	for fd := range max {
		if fdtest.IsOpen(fd) {
			open = append(open, fd)
		}
	}
	return open
}

// F_SETFL would write all flags back, and undo a change that the sender made.
var _ = It("SetNonblock does not undo another change of the status flags", func() {
	a, _ := pair("unix")
	var stop atomic.Bool
	changes := start(func() {
		for on := true; !stop.Load(); on = !on {
			Expect(scm.SetNonblock(a, on)).To(Succeed())
		}
	})
	defer changes()
	defer stop.Store(true)
	theirs := FDOf(asFile(FDOf(a)))
	for i := range 50_000 {
		want := i % 2 * unix.O_ASYNC
		fcntl(theirs, unix.F_SETFL, want)
		Expect(fcntl(theirs, unix.F_GETFL, 0) & unix.O_ASYNC).To(Equal(want))
	}
})

// cutMemory returns a page of a file that a partner truncated: the kernel cannot write to it.
func cutMemory() []byte {
	GinkgoHelper()
	size := unix.Getpagesize()
	file := ok(unix.MemfdCreate("shared", unix.MFD_CLOEXEC))
	Expect(unix.Ftruncate(file, int64(size))).To(Succeed())
	page := ok(unix.Mmap(file, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED))
	DeferCleanup(unix.Munmap, page)
	Expect(unix.Ftruncate(file, 0)).To(Succeed())
	Expect(unix.Close(file)).To(Succeed())
	return page[:1]
}

// On a stream the kernel adds a pidfd even if it could not write the payload. The payload stays in the queue.
var _ = DescribeTable("receives fail with EFAULT, and leave no descriptor open, if the kernel cannot write to the buffer, on",
	func(typ int) {
		f := connect(typ)
		f.passesPidfd()
		nowhere := cutMemory()
		file := f.file()
		for range 5 {
			f.sends("x", file)
		}
		before := fdtest.Take()
		n, fd, err := scm.ReadFD(f.b, nowhere)
		failsWith(err, "recvmsg", unix.EFAULT)
		Expect([]int{n, fd}).To(Equal([]int{-1, -1}))

		for _, flags := range []int{unix.MSG_PEEK, 0} {
			pidfd := -7
			m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 2), PIDFD: &pidfd}
			failsWith(scm.Recv(f.b, &m, flags), "recvmsg", unix.EFAULT)
			Expect([]int{m.NFD, pidfd}).To(Equal([]int{0, -1}), "flags %#x", flags)
		}

		c := ok(scm.NewConnFD(copies(f.b)[0]))
		Expect(Third(c.ReadFiles(nowhere, 1))).To(MatchError(unix.EFAULT))
		m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 1)}
		Expect(c.Recv(&m, 0)).To(MatchError(unix.EFAULT))
		Expect(c.Close()).To(Succeed())
		Expect(before.NewSince()).To(BeEmpty(), "descriptors left open")
	}, everyType)
