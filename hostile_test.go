//go:build linux

package scm_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// takers are the ways to receive a file.
var takers = map[string]func(c *scm.Conn) (*os.File, error){
	"ReadFiles": func(c *scm.Conn) (*os.File, error) {
		_, files, err := c.ReadFiles(make([]byte, 1), 1)
		if err != nil {
			return nil, err
		}
		return files[0], nil
	},
	"RecvFile": (*scm.Conn).RecvFile,
	"Config.Expect": func(c *scm.Conn) (*os.File, error) {
		strict, err := scm.Config{Expect: &scm.Expect{Min: 1, Max: 1}}.NewConn(c.UnixConn)
		if err != nil {
			return nil, err
		}
		return strict.RecvFile()
	},
	"ReadFDs and NewFile": func(c *scm.Conn) (*os.File, error) {
		fds := []int{-1}
		if err := Third(c.ReadFDs(make([]byte, 1), fds)); err != nil {
			return nil, err
		}
		return scm.NewFile(fds[0], "received")
	},
	"Message.Files": func(c *scm.Conn) (*os.File, error) {
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
		if err := c.Recv(&m, 0); err != nil {
			return nil, err
		}
		files, err := m.Files()
		if err != nil {
			return nil, err
		}
		return files[0], nil
	},
}

// hostile-file receives a file. It ends once a timer, a Read that waits in the poller, and a garbage collection that
// stops every goroutine have shown that the runtime still runs.
var _ = Child("hostile-file", func(args []string) {
	c := ok(scm.NewConnFD(3))
	Expect(c.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	f := ok(takers[args[0]](c))
	runtime.GC()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
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
			fd := ok(unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))
			f.Own(fd)
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

// inputDevice opens an input device of this machine.
func inputDevice() (int, error) {
	names, _ := filepath.Glob("/dev/input/event*")
	if len(names) == 0 {
		return -1, errors.New("there is no device in /dev/input")
	}
	return unix.Open(names[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

var _ = Describe("NewFile", func() {
	polled := func(f *os.File) bool { return !errors.Is(f.SetDeadline(time.Time{}), os.ErrNoDeadline) }
	more := []sample{
		{"a netlink socket", optional(socket(unix.AF_NETLINK, unix.SOCK_RAW)), scm.KindSocket, "read-write", ""},
		{"a packet socket", optional(socket(unix.AF_PACKET, unix.SOCK_DGRAM)), scm.KindSocket, "read-write", ""},
		{"a vsock socket", optional(socket(unix.AF_VSOCK, unix.SOCK_STREAM)), scm.KindSocket, "read-write", ""},
		{"an inotify descriptor", func() (int, error) { return unix.InotifyInit1(unix.IN_CLOEXEC) }, "inotify", "read-write", ""},
		{"a signalfd", func() (int, error) { return unix.Signalfd(-1, &unix.Sigset_t{}, unix.SFD_CLOEXEC) }, "signalfd", "read-write", ""},
		{"a terminal", optional(opens("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)), scm.KindCharDevice, "read-write", ""},
		{"an input device", optional(inputDevice), scm.KindCharDevice, "read-only", ""},
		{"a TUN device", optional(func() (int, error) {
			fd, _, err := tun()
			return fd, err
		}), scm.KindCharDevice, "read-write", ""},
		{"a TUN device without an interface", optional(opens("/dev/net/tun", unix.O_RDWR)), scm.KindCharDevice, "read-write", ""},
		{"/dev/random", opens("/dev/random", unix.O_RDONLY), scm.KindCharDevice, "read-only", ""},
	}
	withoutPoll := []scm.Kind{scm.KindRegular, scm.KindDirectory, scm.KindMemfd}
	// The poll methods of epoll and vsock can wait. That of a TUN device without an interface never wakes the poller.
	// /dev/random represents other drivers.
	keptOut := []string{"an epoll descriptor", "a vsock socket", "a TUN device without an interface", "/dev/random"}

	for _, s := range append(slices.Clone(samples), more...) {
		hasPoll := s.access != "path" && !slices.Contains(withoutPoll, s.kind) && s.name != "/dev/null"
		poller := hasPoll && !slices.Contains(keptOut, s.name)
		adds := "never adds it to the poller"
		if poller {
			adds = "adds it to the poller only if it has O_NONBLOCK"
		}
		It("wraps "+s.name+", and "+adds, func() {
			f := connect(unix.SOCK_SEQPACKET)
			fd := f.opened(s)
			for _, flags := range []int{0, unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_APPEND} {
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
			fd := ok(unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600))
			f.Own(fd)
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

	It("leaves the descriptor open for the caller on error", func() {
		for _, fd := range []int{-1, math.MinInt, math.MaxInt} {
			file, err := scm.NewFile(fd, "")
			Expect(file).To(BeNil())
			Expect(err).To(MatchError(unix.EBADF))
		}
		cmd := ChildCommand("new-file")
		cmd.Env = append(cmd.Env, "GOGC=off") // a timer of the garbage collector would create the poller
		if early := RunChild(cmd); early != "" {
			Skip(early)
		}
	})
})

// new-file makes files while the descriptor table is full. The runtime aborts if it cannot allocate a descriptor for
// its poller, which it creates with the first file that it polls, or with the first timer.
var _ = Child("new-file", func([]string) {
	polls := func() bool {
		return slices.ContainsFunc(openBelow(64), func(fd int) bool { return strings.Contains(fdtest.Name(fd), "eventpoll") })
	}
	early := polls()
	var p [2]int
	Expect(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)).To(Succeed())
	device := ok(unix.Open("/dev/random", unix.O_RDONLY|unix.O_CLOEXEC, 0)) // it is kept out of the poller, for which NewFile needs another descriptor
	regular := ok(unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0))

	// withFree would create the poller.
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
	}
	fails(device)
	file := ok(scm.NewFile(regular, "needs no descriptor")) // its finalizer does not run: the garbage collector is off
	Expect(FDOf(file)).To(Equal(regular))
	if early {
		fmt.Print("the runtime has its poller before main: hash/maphash starts a timer in builds with the tag purego")
		return
	}
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
var _ = DescribeTableSubtree("on", func(typ int) {
	var f *fixture
	var nowhere []byte
	var before fdtest.Snapshot
	BeforeEach(func() {
		f = connect(typ)
		f.passesPidfd()
		nowhere = cutMemory()
		file := f.file()
		for range 5 {
			f.sends("x", file)
		}
		before = fdtest.Take()
	})
	AfterEach(func() { Expect(before.NewSince()).To(BeEmpty(), "numbers left open") })

	It("ReadFD fails with EFAULT, and leaves no descriptor open, if the kernel cannot write to its buffer", func() {
		for range 2 {
			n, fd, err := scm.ReadFD(f.b, nowhere)
			failsWith(err, "recvmsg", unix.EFAULT)
			Expect([]int{n, fd}).To(Equal([]int{-1, -1}))
		}
	})

	It("Recv fails with EFAULT, and leaves no descriptor open, if the kernel cannot write to its buffer", func() {
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			pidfd := -7
			m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 2), PIDFD: &pidfd}
			failsWith(scm.Recv(f.b, &m, flags), "recvmsg", unix.EFAULT)
			Expect([]int{m.NFD, pidfd}).To(Equal([]int{0, -1}))
		}
	})

	It("RecvBatch stops at a message whose buffer the kernel cannot write to, and leaves none of its descriptors open", func() {
		pidfds := []int{-7, -7, -7}
		ms := make([]scm.Message, len(pidfds))
		for i := range ms {
			ms[i] = scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1), PIDFD: &pidfds[i]}
		}
		ms[1].Buffers[0] = nowhere
		Expect(scm.RecvBatch(f.b, ms, 0)).To(Equal(1))
		Expect(ms[0].NFD).To(Equal(1))
		Expect(unix.Close(ms[0].FDs[0])).To(Succeed())
		Expect(unix.Close(pidfds[0])).To(Succeed())
		Expect(ms[1].NFD + ms[2].NFD).To(Equal(0))
		Expect(pidfds[1:]).To(Equal([]int{-1, -1}))

		n, err := scm.RecvBatch(f.b, ms[1:], 0)
		failsWith(err, "recvmmsg", unix.EFAULT)
		Expect(n).To(Equal(0))
		Expect(pidfds[1:]).To(Equal([]int{-1, -1}))
	})

	It("receives on a Conn fail with EFAULT, and leave no descriptor open, if the kernel cannot write to the buffer", func() {
		c := ok(scm.NewConnFD(copies(f.b)[0]))
		defer func() { Expect(c.Close()).To(Succeed()) }()
		Expect(Third(c.ReadFiles(nowhere, 1))).To(MatchError(unix.EFAULT))
		m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 1)}
		Expect(c.Recv(&m, 0)).To(MatchError(unix.EFAULT))
	})
}, everyType)
