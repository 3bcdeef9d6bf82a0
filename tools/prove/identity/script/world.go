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
	// first is above all that the process has open itself. The numbers below it
	// are taken, so that the kernel hands out the same ones in each run.
	first = 64
	// last is above all that a round can have open.
	last = first + 640
)

// A world is the circumstances of calls.
type world struct {
	out   *bufio.Writer
	calls int

	files []string // the names of the numbers from first on
	names map[inode]string
	socks [2]int // of the round
	typ   int
	rand  *rand.Rand
	room  []byte // of receives; what is taken of it is not taken again soon
	taken int
}

type inode struct{ dev, ino uint64 }

// filler is a file that stands for any.
const filler = first

func newWorld(out *bufio.Writer) *world {
	settle()
	check(unix.CloseRange(first, last, 0)) // what was inherited
	w := &world{out: out, names: map[inode]string{}, room: make([]byte, 1<<17), rand: rand.New(rand.NewPCG(0, 0))}
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

// firstFree is behind the files.
func (w *world) firstFree() int { return first + len(w.files) }

func stat(fd int) (inode, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

var types = []struct {
	name string
	typ  int
}{{"stream", unix.SOCK_STREAM}, {"dgram", unix.SOCK_DGRAM}, {"seqpacket", unix.SOCK_SEQPACKET}}

// round makes a pair of sockets and does some steps with it.
func (w *world) round(seed, round uint64) {
	w.rand = rand.New(rand.NewPCG(seed, round))
	kind := types[round%3]
	w.typ = kind.typ
	pair, err := unix.Socketpair(unix.AF_UNIX, kind.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	w.socks = pair
	fmt.Fprintf(w.out, "%s %v", kind.name, pair)
	for i, fd := range pair {
		at, err := stat(fd)
		check(err)
		w.names[at] = string(rune('a' + i))
	}
	if w.one(3) {
		w.named()
	}
	fmt.Fprintln(w.out)
	steps := 8 + w.pick(24)
	if w.one(4) {
		w.withConns(steps)
	} else {
		for range steps {
			w.step()
		}
	}
	for _, fd := range w.socks {
		if at, err := stat(fd); err == nil {
			delete(w.names, at)
		}
	}
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// most passes as many descriptors as a message can have.
func (w *world) most() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(err)
	out := scm.Message{Buffers: [][]byte{{0}}, FDs: slices.Repeat([]int{filler}, scm.MaxFDs)}
	w.call("Send of all that fit", func() { err = scm.Send(pair[0], &out, 0) }, &out.N, &err)
	in := scm.Message{Buffers: [][]byte{{0xee}}, FDs: make([]int, scm.MaxFDs)}
	w.call("Recv of all that fit", func() { err = scm.Recv(pair[1], &in, 0) }, &in, &err)
	check(unix.CloseRange(uint(w.firstFree()), last, 0))
}

// named gives the sockets addresses, and perhaps options. An unnamed socket with
// an option that names the sender gets a name by chance when it sends.
func (w *world) named() {
	for i, fd := range w.socks {
		name := string(rune('a' + i))
		_ = unix.Unlink(name) // the last round's, if there is one
		check(unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
	}
	for _, option := range []int{unix.SO_PASSCRED, unix.SO_PASSPIDFD, unix.SO_TIMESTAMP} {
		if w.one(3) {
			side := w.pick(2)
			err := unix.SetsockoptInt(w.socks[side], unix.SOL_SOCKET, option, 1)
			fmt.Fprintf(w.out, " option %d of %d: %v", option, side, err)
		}
	}
}

// call does what is recorded, and then prints its results, which are behind pointers.
func (w *world) call(what string, f func(), results ...any) {
	w.calls++
	fmt.Fprintf(w.out, "%d %s:", w.calls, what)
	runtime.Gosched() // now, so that its time is not up between the marks
	mark(w.calls)
	f()
	mark(0)
	for _, r := range results {
		fmt.Fprint(w.out, " ", told(r))
	}
	fmt.Fprintln(w.out)
	w.table()
}

// margin is how many closed numbers in a row mean that there are no more: the
// kernel hands out the lowest.
const margin = 32

// table prints what is open behind the files, and what of the files is not.
func (w *world) table() {
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

// tidy closes what was received, most of the time.
func (w *world) tidy(min int) {
	if w.one(4) && w.opened(min) < 64 {
		return
	}
	check(unix.CloseRange(uint(min), last, 0))
}

func (w *world) opened(min int) (n int) {
	for fd, closed := min, 0; fd < last && closed < margin; fd++ {
		closed++
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
			closed = 0
		}
	}
	return n
}

// full leaves few numbers free while f runs, once in a while.
func (w *world) full(f func()) {
	if !w.one(12) {
		f()
		return
	}
	var was unix.Rlimit
	check(unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	// The numbers in use may have gaps; what matters is that it is the same in
	// each run.
	limit := unix.Rlimit{Cur: uint64(w.firstFree() + 2 + w.pick(4)), Max: was.Max}
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	fmt.Fprintf(w.out, "limit %d\n", limit.Cur)
	f()
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
}

func (w *world) pick(n int) int { return w.rand.IntN(n) }

// one is true once in n times.
func (w *world) one(n int) bool { return w.pick(n) == 0 }

func oneOf[T any](w *world, list []T) T { return list[w.pick(len(list))] }

// file is an os.File of a duplicate of one of the files.
func (w *world) file(i int) *os.File {
	fd, err := unix.FcntlInt(uintptr(first+i), unix.F_DUPFD_CLOEXEC, w.firstFree())
	check(err)
	return os.NewFile(uintptr(fd), w.files[i])
}
