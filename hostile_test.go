//go:build linux

package scm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/wire"
)

// A victim is a process of its own that receives a file from a partner who means
// harm, and shows by "alive" that its goroutines and timers run.
type victim struct {
	cmd  *exec.Cmd
	sock int // the partner's end
	in   io.WriteCloser
	said chan string // a line each; closed when the victim has ended
}

// attack starts a victim that takes a file by one of takers.
func attack(f *fixture, taker string) *victim {
	GinkgoHelper()
	v := &victim{cmd: ChildCommand("hostile-file", taker), said: make(chan string, 10)}
	near, far := f.pair(unix.SOCK_STREAM)
	v.sock = near
	theirs := os.NewFile(uintptr(copies(far)[0]), "socket")
	v.cmd.ExtraFiles, v.cmd.Stderr = []*os.File{theirs}, GinkgoWriter
	out, err := v.cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	v.in, err = v.cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(v.cmd.Start()).To(Succeed())
	Expect(theirs.Close()).To(Succeed())
	go func() {
		defer close(v.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			v.said <- lines.Text()
		}
	}()
	return v
}

// passes sends the victim a descriptor.
func (v *victim) passes(fd int) {
	GinkgoHelper()
	Expect(scm.WriteFD(v.sock, []byte("x"), fd)).To(Equal(1))
}

// silent serves a file, and leaves requests of a kind without an answer.
func silent(kind uint32) *fusetest.Server {
	GinkgoHelper()
	server := fusetest.Mount(GinkgoTB(), fusetest.Options{})
	server.Hush(kind)
	return server
}

// lives waits for the victim to say that it is alive. Where it does not, the server
// lets it go, and the spec fails.
func (v *victim) lives(server *fusetest.Server, when string) {
	GinkgoHelper()
	limit := time.NewTimer(Hang)
	defer limit.Stop()
	select {
	case line, open := <-v.said:
		Expect(open).To(BeTrue(), "%s: the victim has ended", when)
		Expect(line).To(Equal("alive"), when)
	case <-server.Waiting:
		server.Release()
		Fail(when + ": the victim's poller has asked the partner")
	case <-limit.C:
		server.Release()
		Fail(when + ": the victim stands still")
	}
}

// ends lets the victim end.
func (v *victim) ends() {
	GinkgoHelper()
	Expect(v.in.Close()).To(Succeed())
	Expect(v.cmd.Wait()).To(Succeed())
}

// hold makes a process that is inside a system call on the socket, which it holds
// locked until the server is released: the system call's buffer is a page of a file that
// the server does not deliver.
func hold(server *fusetest.Server, sock int, how string) (ends func()) {
	GinkgoHelper()
	file, err := os.Open(server.File)
	Expect(err).NotTo(HaveOccurred())
	theirs := os.NewFile(uintptr(copies(sock)[0]), "socket")
	cmd := ChildCommand("hostile-holder", how)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs, file}, GinkgoWriter
	Expect(cmd.Start()).To(Succeed())
	Expect(theirs.Close()).To(Succeed())
	Expect(file.Close()).To(Succeed())
	ends = sync.OnceFunc(func() {
		server.Release()
		Expect(cmd.Wait()).To(Succeed())
	})
	DeferCleanup(ends)
	select {
	case <-server.Waiting:
	case <-time.After(Hang):
		Fail("nobody asked the server for the page")
	}
	return ends
}

var _ = Child("hostile-holder", func(args []string) {
	page, err := unix.Mmap(4, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	Expect(err).NotTo(HaveOccurred())
	// What the calls return once the page is there does not matter.
	switch args[0] {
	case "read":
		_, _ = unix.Read(3, page[:1])
	case "setsockopt":
		_, _, _ = unix.Syscall6(unix.SYS_SETSOCKOPT, 3, unix.IPPROTO_IP, unix.IP_OPTIONS, uintptr(unsafe.Pointer(&page[0])), 4, 0)
	}
})

// socketTakers are the ways to a socket from a message.
var socketTakers = map[string]func(c *scm.Conn) (io.Closer, error){
	"RecvConn": func(c *scm.Conn) (io.Closer, error) {
		conn, err := c.RecvConn(context.Background())
		if err == nil {
			go conn.LocalAddr() // waits, but stops nobody
			go conn.RemoteAddr()
		}
		return conn, err
	},
	"RecvListener": func(c *scm.Conn) (io.Closer, error) {
		l, err := c.RecvListener(context.Background())
		if err == nil {
			go l.Addr()
		}
		return l, err
	},
}

var _ = Describe("a received Internet socket that its sender holds locked", func() {
	It("stops nobody, by RecvConn", func() {
		server := silent(fusetest.Read)
		f := connect(unix.SOCK_STREAM)
		near, far := tcpPair()
		fd := NumberOf(near.(syscall.Conn))
		Expect(far.Write([]byte("x"))).To(Equal(1))
		released := hold(server, fd, "read")
		v := attack(f, "RecvConn")
		v.passes(fd)
		v.lives(server, "after the connection")
		released()
		v.ends()
	})

	It("stops nobody, by RecvListener", func() {
		server := silent(fusetest.Read)
		f := connect(unix.SOCK_STREAM)
		var config net.ListenConfig
		config.SetMultipathTCP(false) // has no IP_OPTIONS
		l, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(l.Close)
		fd := NumberOf(l.(syscall.Conn))
		released := hold(server, fd, "setsockopt")
		v := attack(f, "RecvListener")
		v.passes(fd)
		v.lives(server, "after the listener")
		released()
		v.ends()
	})
})

// takers are the ways to a file from a message.
var takers = map[string]func(c *scm.Conn) (*os.File, error){
	"ReadFiles": func(c *scm.Conn) (*os.File, error) {
		_, files, err := c.ReadFiles(make([]byte, 1), 1)
		if err != nil {
			return nil, err
		}
		return files[0], nil
	},
	"RecvFile": (*scm.Conn).RecvFile,
	"RecvExpect and NewFile": func(c *scm.Conn) (*os.File, error) {
		m := scm.Message{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)}
		if err := c.RecvExpect(scm.Expect{Min: 1, Max: 1}, &m, 0); err != nil {
			return nil, err
		}
		return scm.NewFile(m.FDs[0], "received")
	},
}

var _ = Child("hostile-file", func(args []string) {
	c, err := scm.NewConnFD(3)
	if errors.Is(err, scm.ErrBlocking) {
		c, err = scm.Config{SetNonblock: true}.NewConnFD(3)
	}
	Expect(err).NotTo(HaveOccurred())
	Expect(c.SetDeadline(time.Now().Add(Hang))).To(Succeed())
	take := socketTakers[args[0]]
	if take == nil {
		take = func(c *scm.Conn) (io.Closer, error) { return takers[args[0]](c) }
	}
	f, err := take(c)
	Expect(err).NotTo(HaveOccurred())
	for lines := bufio.NewScanner(os.Stdin); ; {
		beats()
		fmt.Println("alive")
		if !lines.Scan() {
			break
		}
	}
	Expect(f.Close()).To(Succeed())
})

// beats returns once a timer, what waits in the poller, and a collection that stops
// every goroutine have come.
func beats() {
	runtime.GC()
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	time.AfterFunc(time.Millisecond, func() { _ = w.Close() })
	Expect(io.ReadAll(r)).To(BeEmpty())
	Expect(r.Close()).To(Succeed())
}

var _ = Describe("a received file that a partner serves, and that does not block", func() {
	// hostileFile is one whose server does not answer when it is asked whether the
	// file is ready.
	hostileFile := func() (f *fixture, fd int, server *fusetest.Server) {
		server = silent(fusetest.Poll)
		f = connect(unix.SOCK_STREAM)
		fd, err := unix.Open(server.File, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		f.Own(fd)
		return f, fd, server
	}

	for _, taker := range slices.Sorted(maps.Keys(takers)) {
		It("stops nobody but who uses it, by "+taker, func() {
			f, fd, server := hostileFile()
			v := attack(f, taker)
			v.passes(fd)
			v.lives(server, "after the file")
			v.ends()
		})

		It("stops nobody out of an epoll that was passed, by "+taker, func() {
			f, fd, server := hostileFile()
			epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			Expect(err).NotTo(HaveOccurred())
			f.Own(epoll)
			Expect(unix.SetNonblock(epoll, true)).To(Succeed())
			r, w := f.pair(unix.SOCK_STREAM)
			Expect(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, r, &unix.EpollEvent{Events: unix.EPOLLIN})).To(Succeed())

			v := attack(f, taker)
			v.passes(epoll)
			v.lives(server, "after the epoll")

			// While the file is added, nobody else can look into the epoll.
			added := goes(func() { Expect(fusetest.AddToEpoll(epoll, fd)).To(Succeed()) })
			<-server.Waiting
			Expect(unix.Write(w, []byte("x"))).To(Equal(1)) // the epoll is ready
			_, err = io.WriteString(v.in, "\n")
			Expect(err).NotTo(HaveOccurred())
			v.lives(server, "while the epoll is held")
			server.Release()
			added()
			v.ends()
		})
	}
})

var _ = Describe("NewFile", func() {
	polled := func(f *os.File) bool { return !errors.Is(f.SetDeadline(time.Time{}), os.ErrNoDeadline) }

	for _, s := range samples {
		It("keeps what it is given, and gives the poller pipes and sockets only: "+s.name, func() {
			f := connect(unix.SOCK_SEQPACKET)
			fd := f.opened(s)
			sockets := []string{"a Unix", "a TCP", "a UDP"}
			poller := s.kind == "pipe" || s.kind == "socket" && slices.ContainsFunc(sockets, func(p string) bool { return strings.HasPrefix(s.name, p) })
			for _, flags := range []int{0, unix.O_NONBLOCK, unix.O_NONBLOCK | unix.O_APPEND} {
				if s.access == "path" && flags != 0 {
					continue // it has no such flags
				}
				if s.access != "path" {
					Expect(fcntl(fd, unix.F_SETFL, flags)).To(BeZero())
				}
				status := fcntl(fd, unix.F_GETFL, 0)
				before := fdtest.Take()
				file, err := scm.NewFile(copies(fd)[0], "name")
				Expect(err).NotTo(HaveOccurred())
				Expect(file.Name()).To(Equal("name"))
				Expect(before.NewSince()).To(HaveLen(1), "the file's number alone is new")
				Expect(fdtest.Same(NumberOf(file), fd)).To(BeTrue())
				Expect(fdtest.CloseOnExec(NumberOf(file))).To(BeTrue())
				Expect(fcntl(fd, unix.F_GETFL, 0)).To(Equal(status))
				Expect(polled(file)).To(Equal(poller && s.access != "path" && flags&unix.O_NONBLOCK != 0))
				_, err = file.WriteAt(nil, 0)
				refused := err != nil && strings.Contains(err.Error(), "O_APPEND")
				Expect(refused).To(Equal(flags&unix.O_APPEND != 0), "package os knows whether it appends: %v", err)
				Expect(file.Close()).To(Succeed())
				Expect(before.NewSince()).To(BeEmpty())
			}
		})
	}

	It("leaves a socket of another family out of the poller", func() {
		f := connect(unix.SOCK_SEQPACKET)
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			Skip("there is no netlink socket here: " + err.Error())
		}
		f.Own(fd)
		file, err := scm.NewFile(copies(fd)[0], "")
		Expect(err).NotTo(HaveOccurred())
		Expect(polled(file)).To(BeFalse())
		Expect(file.Close()).To(Succeed())
	})

	It("reads what is there, and says EAGAIN where nothing is", func() {
		f := connect(unix.SOCK_SEQPACKET)
		fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		Expect(err).NotTo(HaveOccurred())
		f.Own(fd)
		file, err := scm.NewFile(copies(fd)[0], "")
		Expect(err).NotTo(HaveOccurred())
		p := make([]byte, 8)
		Expect(file.Read(p)).To(Equal(8))
		Expect(Second(file.Read(p))).To(MatchError(unix.EAGAIN))
		Expect(file.Close()).To(Succeed())
	})

	It("removes the process's F_SETLK locks on the file, as any close does, and no other locks", func() {
		path := filepath.Join(GinkgoT().TempDir(), "file")
		f := connect(unix.SOCK_SEQPACKET)
		open := func() int {
			fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
			Expect(err).NotTo(HaveOccurred())
			f.Own(fd)
			return fd
		}
		process, description, other := open(), open(), open()
		lock := func(start int64) *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 1} }
		if err := unix.FcntlFlock(uintptr(description), unix.F_OFD_SETLK, lock(1)); err != nil {
			Skip("there is no F_OFD_SETLK here: " + err.Error())
		}
		Expect(unix.FcntlFlock(uintptr(process), unix.F_SETLK, lock(0))).To(Succeed())
		Expect(unix.Flock(description, unix.LOCK_EX)).To(Succeed())
		locked := func(start int64) bool {
			l := lock(start)
			Expect(unix.FcntlFlock(uintptr(other), unix.F_OFD_GETLK, l)).To(Succeed())
			return l.Type != unix.F_UNLCK
		}
		theirs, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(locked(0)).To(BeTrue())
		file, err := scm.NewFile(theirs, "")
		Expect(err).NotTo(HaveOccurred())
		lent(file)
		Expect(locked(0)).To(BeFalse(), "of F_SETLK")
		Expect(locked(1)).To(BeTrue(), "of F_OFD_SETLK")
		Expect(unix.Flock(other, unix.LOCK_EX|unix.LOCK_NB)).To(MatchError(unix.EWOULDBLOCK), "of flock(2)")
	})

	// package os looks entries up by the name, which is the sender's in RecvFile.
	It("makes a folder of which Readdir and fstatat(2) describe the entries, and DirEntry.Info those of its name", func() {
		theirs, named := GinkgoT().TempDir(), GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(theirs, "file"), []byte("1"), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(named, "file"), []byte("22"), 0o600)).To(Succeed())
		a, b := pair("unix")
		folder, err := os.Open(theirs)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.SendFile(named, lent(folder))).To(Succeed())
		received, err := b.RecvFile()
		Expect(err).NotTo(HaveOccurred())
		lent(received)

		entries, err := received.ReadDir(-1)
		Expect(err).NotTo(HaveOccurred())
		Expect(entries).To(HaveLen(1))
		info, err := entries[0].Info()
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Size()).To(BeEquivalentTo(2), "of DirEntry.Info")

		var st unix.Stat_t
		Expect(unix.Fstatat(NumberOf(received), "file", &st, unix.AT_SYMLINK_NOFOLLOW)).To(Succeed())
		Expect(st.Size).To(BeEquivalentTo(1), "of fstatat(2)")
		if runtime.Version() == "go1.26.0" {
			return // its Readdir looks the name up too
		}
		Expect(received.Seek(0, io.SeekStart)).To(BeZero())
		infos, err := received.Readdir(-1)
		Expect(err).NotTo(HaveOccurred())
		Expect(infos).To(HaveLen(1))
		Expect(infos[0].Size()).To(BeEquivalentTo(1), "of Readdir")
	})

	It("leaves the caller what it cannot take", func() {
		for _, fd := range []int{-1, math.MinInt, math.MaxInt} {
			file, err := scm.NewFile(fd, "")
			Expect(file).To(BeNil())
			Expect(err).To(MatchError(unix.EBADF))
		}
		RunChild(ChildCommand("new-file"))
	})

	It("makes what it is given close-on-exec", func() {
		f := connect(unix.SOCK_SEQPACKET)
		for _, s := range samples {
			fd := copies(f.opened(s))[0]
			Expect(fcntl(fd, unix.F_SETFD, 0)).To(BeZero())
			file, err := scm.NewFile(fd, "")
			Expect(err).NotTo(HaveOccurred())
			Expect(fdtest.CloseOnExec(NumberOf(file))).To(BeTrue(), s.name)
			Expect(file.Close()).To(Succeed())
		}
	})
})

// The runtime ends the process if no number is free for its poller, which it makes with
// the first file that it polls, or with the first timer.
var _ = Describe("the first use of the poller", func() {
	for _, what := range []string{"NewFile", "Pair", "NewConnFD", "Dial", "Listen", "NotifyBarrier"} {
		It("is EMFILE where the poller has no number: "+what, func() {
			cmd := ChildCommand("first-polled", what, socketPath())
			cmd.Env = append(cmd.Env, "GOGC=off") // a timer of the garbage collector makes the poller, too
			if RunChild(cmd) == "early" {
				Skip("the runtime has its poller before main: hash/maphash starts a timer with -tags purego")
			}
		})
	}
})

var _ = Child("first-polled", func(args []string) {
	polls := func() bool {
		for fd := range 64 {
			if strings.Contains(fdtest.Name(fd), "eventpoll") {
				return true
			}
		}
		return false
	}
	var p, sv [2]int
	Expect(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)).To(Succeed())
	sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())

	call, needs := func() error { return Second(scm.NewFile(p[0], "")) }, 0
	ready := func() {}
	named := func() int {
		sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Bind(sock, &unix.SockaddrUnix{Name: args[1]})).To(Succeed())
		return sock
	}
	switch args[0] {
	case "Dial": // waits while the queue is full
		sock := named()
		Expect(unix.Listen(sock, 0)).To(Succeed())
		client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Connect(client, &unix.SockaddrUnix{Name: args[1]})).To(Succeed())
		needs = 1
		call = func() error { return Second(scm.Dial(context.Background(), "unix", args[1])) }
		ready = func() {
			fd, _, err := unix.Accept(sock)
			Expect(err).NotTo(HaveOccurred())
			Expect(unix.Close(fd)).To(Succeed())
		}
	case "Listen": // waits for the folder's lock
		Expect(unix.Close(named())).To(Succeed())
		lock, err := unix.Open(filepath.Dir(args[1]), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		Expect(unix.Flock(lock, unix.LOCK_EX)).To(Succeed())
		needs = 3
		call = func() error { return Second(scm.Listen(context.Background(), "unix", args[1])) }
		ready = func() { Expect(unix.Flock(lock, unix.LOCK_UN)).To(Succeed()) }
	case "NotifyBarrier":
		Expect(unix.SetNonblock(sv[1], false)).To(Succeed())
		go func() { _, _ = unix.Read(sv[1], make([]byte, 99)) }() // drops the descriptor
		call = func() error { return wire.NotifyBarrier(context.Background(), sv[0]) }
	case "Pair":
		needs = 2
		call = func() error { _, _, err := scm.Pair("unix"); return err }
	case "NewConnFD":
		needs = 1
		Expect(unix.SetNonblock(sv[0], false)).To(Succeed())
		call = func() error {
			_, err := scm.Config{SetNonblock: true}.NewConnFD(sv[0])
			if err != nil {
				Expect(fcntl(sv[0], unix.F_GETFL, 0)&unix.O_NONBLOCK).To(BeZero(), "changed, though refused")
			}
			return err
		}
	}
	if polls() {
		fmt.Print("early")
		return
	}

	// withFree would make the poller.
	Expect(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 32, Max: 32})).To(Succeed())
	var fill []int
	for err == nil {
		var fd int
		if fd, err = unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fill = append(fill, fd)
		}
	}
	Expect(err).To(MatchError(unix.EMFILE))
	for free := range needs + 3 {
		before := openBelow(32)
		Expect(call()).To(MatchError(unix.EMFILE), "%d free", free)
		Expect(openBelow(32)).To(Equal(before), "%d free", free)
		Expect(polls()).To(BeFalse())
		Expect(unix.Close(fill[free])).To(Succeed())
	}
	for _, fd := range fill[needs+3:][:2] { // NotifyBarrier's pipe
		Expect(unix.Close(fd)).To(Succeed())
	}
	ready()
	Expect(call()).To(Succeed())
	Expect(polls()).To(BeTrue())
})

// openBelow returns the open numbers below max, and opens nothing for that.
func openBelow(max int) (open []int) {
	for fd := range max {
		if fdtest.IsOpen(fd) {
			open = append(open, fd)
		}
	}
	return open
}

// new-file makes files where no number is free.
var _ = Child("new-file", func([]string) {
	regular, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	r, w, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	withFree(0, func() {
		_, err = scm.NewFile(regular, "")
	})
	Expect(err).To(MatchError(unix.EMFILE))
	Expect(fdtest.IsOpen(regular)).To(BeTrue())

	// Two came, of a kind that needs a number more, and took the last ones.
	for _, config := range []scm.Config{{}, {KeepTruncated: true}} {
		a, b, err := config.Pair("unix")
		Expect(err).NotTo(HaveOccurred())
		Expect(scm.Send(NumberOf(a), &scm.Message{Buffers: [][]byte{[]byte("xy")}, FDs: []int{NumberOf(w), regular}}, 0)).To(Succeed())
		before := fdtest.Take()
		var n int
		var files []*os.File
		withFree(2, func() { n, files, err = b.ReadFiles(make([]byte, 8), 8) })
		Expect(n).To(Equal(2))
		Expect(err).To(MatchError(unix.EMFILE))
		if config.KeepTruncated {
			Expect(files).To(HaveLen(1))
			Expect(fdtest.Same(NumberOf(files[0]), NumberOf(w))).To(BeTrue())
			Expect(files[0].Close()).To(Succeed())
		} else {
			Expect(files).To(BeNil())
		}
		Expect(before.NewSince()).To(BeEmpty())

		Expect(scm.Send(NumberOf(a), &scm.Message{Buffers: [][]byte{[]byte("xy")}, FDs: []int{regular}}, 0)).To(Succeed())
		var file *os.File
		withFree(1, func() { file, err = b.RecvFile() })
		Expect(file).To(BeNil())
		Expect(err).To(MatchError(unix.EMFILE))
		Expect(before.NewSince()).To(BeEmpty())
	}
	Expect(r.Close()).To(Succeed())
	Expect(w.Close()).To(Succeed())
})

// fcntl returns what fcntl does.
func fcntl(fd, cmd, arg int) int {
	GinkgoHelper()
	n, err := unix.FcntlInt(uintptr(fd), cmd, arg)
	Expect(err).NotTo(HaveOccurred())
	return n
}

// cutMemory is a page of a file that a partner truncated: the kernel cannot write it.
func cutMemory() []byte {
	GinkgoHelper()
	size := unix.Getpagesize()
	file, err := unix.MemfdCreate("shared", unix.MFD_CLOEXEC)
	Expect(err).NotTo(HaveOccurred())
	Expect(unix.Ftruncate(file, int64(size))).To(Succeed())
	page, err := unix.Mmap(file, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(unix.Munmap, page)
	Expect(unix.Ftruncate(file, 0)).To(Succeed())
	Expect(unix.Close(file)).To(Succeed())
	return page[:1]
}

// On a stream the kernel adds a pidfd also if it could not write the payload, whose bytes stay.
var _ = DescribeTableSubtree("a receive whose buffer the kernel cannot write", func(typ int) {
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

	It("is EFAULT from ReadFD, which leaves nothing open", func() {
		for range 2 {
			n, fd, err := scm.ReadFD(f.b, nowhere)
			failsWith(err, "recvmsg", unix.EFAULT)
			Expect([]int{n, fd}).To(Equal([]int{-1, -1}))
		}
	})

	It("is EFAULT from Recv, which leaves nothing open", func() {
		for _, flags := range []int{unix.MSG_PEEK, 0} {
			pidfd := -7
			m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 2), PIDFD: &pidfd}
			failsWith(scm.Recv(f.b, &m, flags), "recvmsg", unix.EFAULT)
			Expect([]int{m.NFD, pidfd}).To(Equal([]int{0, -1}))
		}
	})

	It("ends a batch, which leaves nothing of that message open", func() {
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

	It("is EFAULT from a Conn's receives, which leave nothing open", func() {
		fd, err := unix.FcntlInt(uintptr(f.b), unix.F_DUPFD_CLOEXEC, 0)
		Expect(err).NotTo(HaveOccurred())
		c, err := scm.NewConnFD(fd)
		Expect(err).NotTo(HaveOccurred())
		defer func() { Expect(c.Close()).To(Succeed()) }()

		_, _, err = c.ReadFiles(nowhere, 1)
		Expect(err).To(MatchError(unix.EFAULT))
		m := scm.Message{Buffers: [][]byte{nowhere}, FDs: make([]int, 1)}
		Expect(c.Recv(&m, 0)).To(MatchError(unix.EFAULT))
	})
}, everyType)
