package testserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/ringtest"
	"github.com/scm-rights/scm/interop/raw"
	"golang.org/x/sys/unix"
)

// Faulty lists the modes of servers with a bug. The others are:
//
//	correct closes all descriptors at once
//	late   closes them some time after the end of the connection
//	forks  serves each connection in a process of its own, which keeps them until the connection ends
//	hangup closes each connection after one message
//	once   ends with status 0 after one connection
//	strict ends with status 1 after a line that it does not know, with or without descriptors
//	mute   ends with status 1 after each connection, before it reads anything
var Faulty = []string{
	"two",      // forgets the second descriptor of exactly two
	"second",   // closes only the first descriptor of each receive
	"all",      // closes none
	"rejected", // closes none of a message that it rejects
	"ebadf",    // ends if it cannot read from a descriptor because of EBADF
	"opath",    // kills itself if a descriptor was opened with O_PATH
	"deaf",     // stops accepting connections after a message with descriptors that it rejects
	"stuck",    // stops reading after a message with descriptors that it rejects
	"unread",   // does not read what begins with a newline
	"closes",   // closes the connection instead
	"quits",    // ends instead, with status 0
	"both",     // has the bugs of all and of opath
	"hoard",    // closes none, and ends with status 1 when it has more than 30
	"ring",     // makes all of them fixed files of an io_uring until that is full, and closes them
}

// Cache is the mode of a server that stores only the last descriptors of all connections: before it receives a message,
// it closes all but seven.
const Cache = "cache"

// LargeCache is the mode of a server that stores more of them than one run of the harmless items sends: all but 31.
const LargeCache = "large-cache"

// cacheSize is how many descriptors a mode keeps before it receives a message.
var cacheSize = map[string]int{Cache: 7, LargeCache: 31}

// RingCache is the mode of a server that stores only the last eight descriptors, as fixed files of an io_uring. A
// descriptor that the kernel rejects also takes the place of another.
const RingCache = "ring-cache"

// NoFiles is the mode of a server for which the kernel rejects descriptors (Linux 6.16).
const NoFiles = "no-files"

// NoFilesStrict is the mode NoFiles of a server that ends as in the mode strict.
const NoFilesStrict = "no-files-strict"

// Apart is a prefix of a mode. With it, the server runs on a thread with a descriptor table of its own, and serves one
// connection after the other. Unless the server inherits the socket, only that table has it.
const Apart = "apart-"

// Forked is a prefix of a mode. With it, the server listens, and then serves in a child process, which inherits the
// socket and also runs on such a thread.
const Forked = "forked-"

// serveOne is the first argument of a process in the mode forks, which serves the connection at descriptor 3.
const serveOne = "serve-one"

type server struct {
	mode   string
	apart  bool
	listen int
	stored chan int // the descriptors of the modes Cache and hoard, or the next slots of the ring
	ring   int
}

// RingSize is how many descriptors a server in the mode ring keeps.
const RingSize = 256

// Main runs a server at an address. The arguments are its mode, its type of socket (stream, seqpacket or dgram) and the
// address. With LISTEN_FDS, it uses the socket that it has inherited. It returns only after an error, which it prints.
func Main(args []string) {
	signal.Ignore(unix.SIGPIPE)
	s := &server{mode: args[0], listen: 3, stored: make(chan int, 1000)}
	if s.mode == serveOne {
		s.serve(3)
		return
	}
	run := func() error { return s.run(args[1], args[2]) }
	if s.mode, s.apart = strings.CutPrefix(s.mode, Apart); s.apart {
		run = func() (err error) {
			ownthread.Run(func() { err = errors.Join(unix.Unshare(unix.CLONE_FILES), s.run(args[1], args[2])) })
			return err
		}
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s *server) run(typ, address string) (err error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
		if s.listen, err = Listen(typ, address); err != nil {
			return err
		}
	}
	unix.CloseOnExec(s.listen)
	if s.mode == NoFiles || s.mode == NoFilesStrict { // connections inherit the option
		if err := raw.SetOption(s.listen, "passrights", 0); err != nil {
			return err
		}
	}
	if size := map[string]int{"ring": RingSize, RingCache: 8}[s.mode]; size > 0 {
		if s.ring, err = ringtest.New(size); err != nil {
			return err
		}
		for slot := range size {
			s.stored <- slot
		}
	}
	if mode, ok := strings.CutPrefix(s.mode, Forked); ok {
		return s.forkListener(Apart+mode, typ, address)
	}
	if typ == "dgram" {
		s.serve(s.listen)
		return nil
	}
	for {
		c, _, err := unix.Accept4(s.listen, unix.SOCK_CLOEXEC)
		switch {
		case err == unix.EINTR:
		case err != nil:
			time.Sleep(time.Hour) // the mode deaf
		case s.mode == "forks":
			if err := fork(c); err != nil {
				return err
			}
		case s.mode == "once":
			s.serve(c)
			return nil
		case s.mode == "mute":
			return errors.New("database is locked")
		case s.apart:
			s.serve(c)
		default:
			go s.serve(c)
		}
	}
}

// Listen creates a listening socket, or a datagram socket, at an address.
func Listen(typ, address string) (int, error) {
	types := map[string]int{"stream": unix.SOCK_STREAM, "seqpacket": unix.SOCK_SEQPACKET, "dgram": unix.SOCK_DGRAM}
	fd, err := unix.Socket(unix.AF_UNIX, types[typ]|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = raw.Bind(fd, raw.Sockaddr(address))
	}
	if err == nil && typ != "dgram" {
		err = unix.Listen(fd, 128)
	}
	return fd, err
}

// forkListener runs a server with the listening socket in another process, and waits until it ends.
func (s *server) forkListener(args ...string) error {
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, os.Args[0]}, args...)...)
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(s.listen), "listener")}
	return cmd.Run()
}

// fork serves a connection in another process.
func fork(c int) error {
	defer func() { _ = unix.Close(c) }()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"server", serveOne}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2, uintptr(c)}})
	if err == nil {
		go func() { _, _ = unix.Wait4(pid, nil, 0, nil) }()
	}
	return err
}

// serve serves a connection, or a datagram socket.
func (s *server) serve(c int) {
	var line []byte
	var held, fds []int
	defer func() {
		_ = unix.Close(c)
		if s.mode == "late" {
			time.Sleep(300 * time.Millisecond)
		}
		if s.mode != "all" && s.mode != "both" {
			closeAll(append(held, fds...))
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, _, _ := unix.Recvfrom(c, buf[:1], unix.MSG_PEEK)
		for cacheSize[s.mode] > 0 && n == 1 && len(s.stored) > cacheSize[s.mode] {
			_ = unix.Close(<-s.stored)
		}
		if n == 1 && buf[0] == '\n' {
			switch s.mode {
			case "unread":
				time.Sleep(time.Hour)
			case "closes":
				return
			case "quits":
				os.Exit(0)
			}
		}
		n, got, _, err := raw.Recv(c, [][]byte{buf}, 253, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		s.inspect(got)
		for ; len(got) > 0 && (cacheSize[s.mode] > 0 || s.mode == "hoard"); got = got[1:] {
			s.stored <- got[0]
			if s.mode == "hoard" && len(s.stored) > 30 {
				os.Exit(1)
			}
		}
		if s.mode == "second" && len(got) > 1 || s.mode == "two" && len(got) == 2 {
			got = got[:1]
		}
		fds = append(fds, got...)
		line = append(line, buf[:n]...)
		for {
			text, rest, whole := bytes.Cut(line, []byte("\n"))
			if !whole && len(line) < 1024 {
				break
			}
			line = rest
			held = append(held, s.handle(c, string(text), fds)...)
			fds = nil
		}
		if s.mode == "hangup" {
			return
		}
	}
}

// inspect does what the modes with a ring or a crash do with a descriptor.
func (s *server) inspect(fds []int) {
	for _, fd := range fds {
		if fixed := int32(fd); s.ring > 0 && len(s.stored) > 0 {
			slot := <-s.stored
			_ = ringtest.Put(s.ring, slot, &fixed) // the kernel rejects one with O_PATH
			if s.mode == RingCache {
				s.stored <- slot
			}
		}
		_, err := unix.Read(fd, make([]byte, 1))
		if s.mode == "ebadf" && err == unix.EBADF {
			fmt.Fprintln(os.Stderr, "read:", err)
			os.Exit(1)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); (s.mode == "opath" || s.mode == "both") && flags&unix.O_PATH != 0 {
			fmt.Fprintln(os.Stderr, "assertion failed: not O_PATH")
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			time.Sleep(time.Hour)
		}
	}
}

// handle answers a line, and returns the descriptors that the server holds until the connection ends.
func (s *server) handle(c int, line string, fds []int) (held []int) {
	valid := line == "ping" && len(fds) == 0 || line == "take "+strconv.Itoa(len(fds))
	answer := "ok\n"
	if !valid {
		answer = "error\n"
	}
	defer func() { _ = unix.Sendto(c, []byte(answer), unix.MSG_NOSIGNAL, nil) }()
	switch {
	case (s.mode == "strict" || s.mode == NoFilesStrict) && !valid:
		os.Exit(1)
	case s.mode == "stuck" && !valid && len(fds) > 0:
		closeAll(fds)
		time.Sleep(time.Hour)
	case s.mode == "deaf" && !valid && len(fds) > 0:
		_ = unix.Shutdown(s.listen, unix.SHUT_RDWR)
	case slices.Contains([]string{"late", serveOne, "all", "both"}, s.mode):
		return fds
	case s.mode == "rejected" && !valid:
		return nil
	}
	closeAll(fds)
	return nil
}

// closeAll closes descriptors.
func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
