//go:build linux

package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"

	"github.com/scm-rights/scm"
	"golang.org/x/sys/unix"
)

const (
	// first is higher than all descriptors that the process itself uses. All descriptors below first are
	// open, so that the kernel allocates the same descriptors in each run.
	first = 64
	// last is higher than all descriptors that a round can have open.
	last = first + 640
)

// A walker makes calls to package scm, either at random or for every size. It contains the sockets
// and the files that the calls use.
type walker struct {
	out   *bufio.Writer
	calls int // made so far

	files      []string         // the names of the files, which are open as first, first+1 and so on
	names      map[inode]string // the names of all files and sockets
	socks      [2]int           // the connected sockets of the round
	socketType int
	rand       *rand.Rand
	memory     []byte // for receives, used in turn so that a buffer is not reused soon
	used       int    // the bytes of memory that were handed out
}

type inode struct{ dev, ino uint64 }

// filler is the descriptor that is duplicated to every unused descriptor below first.
const filler = first

func newWalker(out *bufio.Writer) *walker {
	warmUp()
	check(unix.CloseRange(first, last, 0)) // close inherited descriptors
	w := &walker{out: out, names: map[inode]string{}, memory: make([]byte, 1<<17), rand: rand.New(rand.NewPCG(0, 0))}
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	var p [2]int
	check(unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	for _, f := range []struct {
		name string
		open func() (int, error)
	}{
		{"null", func() (int, error) { return unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0) }},
		{"pipe-r", func() (int, error) { return p[0], nil }},
		{"pipe-w", func() (int, error) { return p[1], nil }},
		{"file", func() (int, error) { return unix.Open("file", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600) }},
		{"path", func() (int, error) { return unix.Open("file", unix.O_PATH|unix.O_CLOEXEC, 0) }},
		{"folder", func() (int, error) { return unix.Open(".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) }},
		{"memfd", func() (int, error) { return unix.MemfdCreate("memfd", unix.MFD_CLOEXEC) }},
		{"eventfd", func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) }},
		{"unconnected", func() (int, error) { return unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|flags, 0) }},
		{"udp", func() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|flags, 0) }},
	} {
		fd, err := f.open()
		check(err)
		n := first + len(w.files)
		check(unix.Dup3(fd, n, unix.O_CLOEXEC))
		check(unix.Close(fd))
		w.files = append(w.files, f.name)
		at, err := stat(n)
		check(err)
		if _, ok := w.names[at]; !ok {
			w.names[at] = f.name
		}
	}
	for n := range first {
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
			check(unix.Dup3(filler, n, unix.O_CLOEXEC))
		}
	}
	return w
}

// firstFree is the descriptor after those of the files.
func (w *walker) firstFree() int { return first + len(w.files) }

func stat(fd int) (inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

// types are the types of socket.
var types = []struct {
	name string
	typ  int
}{
	{"stream", unix.SOCK_STREAM},
	{"dgram", unix.SOCK_DGRAM},
	{"seqpacket", unix.SOCK_SEQPACKET},
}

// round makes a pair of sockets and uses it for a number of operations.
func (w *walker) round(seed, round uint64) {
	w.rand = rand.New(rand.NewPCG(seed, round))
	kind := types[round%3]
	w.socketType = kind.typ
	pair, err := unix.Socketpair(unix.AF_UNIX, kind.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	w.socks = pair
	fmt.Fprintf(w.out, "%s %v", kind.name, pair)
	for i, fd := range pair {
		at, err := stat(fd)
		check(err)
		w.names[at] = string(rune('a' + i))
	}
	if w.oneIn(3) {
		w.bindSockets()
	}
	fmt.Fprintln(w.out)
	operations := 8 + w.pick(24)
	if w.oneIn(4) {
		w.withConns(operations)
	} else {
		for range operations {
			w.operation()
		}
	}
	for _, fd := range w.socks {
		if at, err := stat(fd); err == nil {
			delete(w.names, at)
		}
	}
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// maxFDs passes a message with the maximum number of descriptors.
func (w *walker) maxFDs() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	out := scm.Message{Buffers: [][]byte{{0}}, FDs: slices.Repeat([]int{filler}, scm.MaxFDs)}
	w.call("Send of all that fit", func() { err = scm.Send(pair[0], &out, 0) }, &out.N, &err)
	in := scm.Message{Buffers: [][]byte{{0xee}}, FDs: make([]int, scm.MaxFDs)}
	w.call("Recv of all that fit", func() { err = scm.Recv(pair[1], &in, 0) }, &in, &err)
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// bindSockets binds the sockets to addresses, and sets options in some rounds. Only bound sockets get
// options, because the kernel binds an unbound socket with SO_PASSCRED to a random address when it sends.
func (w *walker) bindSockets() {
	for i, fd := range w.socks {
		name := string(rune('a' + i))
		_ = unix.Unlink(name) // left by an earlier round, if any
		check(unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
	}
	for _, option := range []int{unix.SO_PASSCRED, unix.SO_PASSPIDFD, unix.SO_TIMESTAMP} {
		if w.oneIn(3) {
			end := w.pick(2)
			err := unix.SetsockoptInt(w.socks[end], unix.SOL_SOCKET, option, 1)
			fmt.Fprintf(w.out, " option %d of %d: %v", option, end, err)
		}
	}
}

// call calls f between two marks of the recorder, and prints the results, which are pointers.
func (w *walker) call(what string, f func(), results ...any) {
	w.calls++
	fmt.Fprintf(w.out, "%d %s:", w.calls, what)
	runtime.Gosched() // here, so that the time slice does not end between the marks
	mark(w.calls)
	f()
	mark(0)
	for _, r := range results {
		fmt.Fprint(w.out, " ", describeResult(r))
	}
	fmt.Fprintln(w.out)
	w.printTable()
}

// margin is the number of consecutive closed descriptors after which no open descriptors follow,
// because the kernel allocates the lowest descriptor that is free.
const margin = 32

// printTable prints the open descriptors after those of the files, and which of the files are closed.
func (w *walker) printTable() {
	fmt.Fprint(w.out, " ")
	for n, closed := first, 0; n < last && closed < margin; n++ {
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		closed++
		if n < w.firstFree() {
			if err != nil {
				fmt.Fprintf(w.out, " %d closed", n)
			}
			continue
		}
		if err != nil {
			continue
		}
		closed = 0
		at, err := stat(n)
		check(err)
		name, ok := w.names[at]
		if !ok {
			name = "another"
		}
		if flags&unix.FD_CLOEXEC == 0 {
			name += " inherited"
		}
		fmt.Fprintf(w.out, " %d %s", n, name)
	}
	fmt.Fprintln(w.out)
}

// closeMostly closes all descriptors from min on, in most cases.
func (w *walker) closeMostly(min int) {
	if w.oneIn(4) && w.countOpen(min) < 64 {
		return
	}
	check(unix.CloseRange(uint(min), last, 0))
}

// countOpen returns the number of open descriptors from min on.
func (w *walker) countOpen(min int) (n int) {
	for fd, closed := min, 0; fd < last && closed < margin; fd++ {
		closed++
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
			closed = 0
		}
	}
	return n
}

// withFullTable calls f. One time in 12, it first lowers the limit of open files, so that f can
// open only a few more descriptors.
func (w *walker) withFullTable(f func()) {
	if !w.oneIn(12) {
		f()
		return
	}
	var was unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	// There may be gaps between the open descriptors, but the limit only has to be the same in
	// each run.
	limit := unix.Rlimit{Cur: uint64(w.firstFree() + 2 + w.pick(4)), Max: was.Max}
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	fmt.Fprintf(w.out, "limit %d\n", limit.Cur)
	f()
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
}

// pick returns a random integer below n.
func (w *walker) pick(n int) int { return w.rand.IntN(n) }

// oneIn is true once in n times.
func (w *walker) oneIn(n int) bool { return w.pick(n) == 0 }

// oneOf returns a random element of the list.
func oneOf[T any](w *walker, list []T) T { return list[w.pick(len(list))] }

// file returns an os.File for a duplicate of one of the files.
func (w *walker) file(i int) *os.File {
	fd, err := unix.FcntlInt(uintptr(first+i), unix.F_DUPFD_CLOEXEC, w.firstFree())
	check(err)
	return os.NewFile(uintptr(fd), w.files[i])
}
