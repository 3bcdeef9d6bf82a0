//go:build linux

// Package questions has the programs of docs/questions.md and docs/c.md, and those for what docs/pitfalls.md says about
// Fd, Close and terminals.
package questions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, service) }

// The code on the pages is the code of this package, except for the indentation. TestPage leaves out whole programs.
func TestPage(t *testing.T) {
	source, pages := "", ""
	for _, name := range program.Must(filepath.Glob("*_test.go")) {
		source += program.ReadFlat(name)
	}
	for _, name := range []string{"questions.md", "pitfalls.md", "c.md"} {
		pages += program.ReadFlat("../../docs/" + name)
	}
	blocks := slices.DeleteFunc(strings.Split(pages, "\n```go\n")[1:], func(block string) bool {
		return strings.HasPrefix(block, "package main\n")
	})
	if len(blocks) < 2 {
		t.Errorf("only %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "\n```")
		if !strings.Contains(source, code) {
			t.Errorf("not in this package:\n%s", code)
		}
	}
}

// must ends an example that failed.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func Example_unreachableFile() {
	open := func(path string) (fd int, err error) {
		f, err := os.Open(path)
		if err != nil {
			return -1, err
		}
		return int(f.Fd()), nil // wrong: nothing refers to f afterwards
	}
	fd, err := open("/dev/null")
	must(err)
	for isOpen(fd) {
		runtime.GC() // a program cannot know when this happens
	}
	_, err = unix.Write(fd, []byte("x"))
	fmt.Println(err)
	// Output: bad file descriptor
}

func Example_keptFile() {
	a, b, err := scm.Pair("unix")
	must(err)
	defer a.Close()
	defer b.Close()
	f, err := os.Open("/dev/null")
	must(err)
	fd := int(f.Fd())
	runtime.GC()
	_, err = a.WriteFDs([]byte("x"), fd)
	runtime.KeepAlive(f) // f stays open until here
	fmt.Println(err)
	for isOpen(fd) {
		runtime.GC() // closes f
	}
	// Output: <nil>
}

func Example_twoOwners() {
	f, partner := socketFile()
	defer partner.Close()

	conn, err := scm.NewConnFD(int(f.Fd())) // wrong: f still owns the descriptor
	must(err)
	defer conn.Close()
	log, err := os.Open("/dev/null") // gets the descriptor that NewConnFD has closed
	must(err)
	must(f.Close()) // closes it again
	_, err = log.Stat()
	fmt.Println(err)
	log.Close() // now, and not by the garbage collector when another file has the descriptor
	// Output: stat /dev/null: bad file descriptor
}

func Example_oneOwner() {
	f, partner := socketFile()
	defer partner.Close()

	conn, err := scm.NewConnFile(f) // has a descriptor of its own
	must(err)
	defer conn.Close()
	must(f.Close())
	_, err = conn.Write([]byte("x"))
	fmt.Println(err)
	// Output: <nil>
}

// Code that closes a descriptor, as C code can, gets one of its own.
func Example_borrowAndClose() {
	f, err := os.Open("/dev/null")
	must(err)
	defer f.Close()
	borrow := func(fd int) { fmt.Println("borrowed:", isOpen(fd)) }
	closes := func(fd int) { must(unix.Close(fd)) }
	raw, err := f.SyscallConn()
	must(err)

	var own int
	failed := raw.Control(func(fd uintptr) { // raw is f.SyscallConn()
		borrow(int(fd))
		if own, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			closes(own)
		}
	})
	must(errors.Join(err, failed))
	_, err = f.Stat()
	fmt.Println("still open:", err == nil)
	// Output:
	// borrowed: true
	// still open: true
}

// socketFile returns a socket as an os.File, and the socket that it is connected to.
func socketFile() (f, partner *os.File) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	return os.NewFile(uintptr(p[0]), "socket"), os.NewFile(uintptr(p[1]), "socket")
}

func Example_closeDoesNotEndRead() {
	p := make([]int, 2)
	must(unix.Pipe2(p, unix.O_CLOEXEC)) // as C programs make pipes: without O_NONBLOCK
	defer unix.Close(p[1])
	f, err := scm.NewFile(p[0], "pipe")
	must(err)
	read := make(chan error)
	thread := make(chan int)
	go func() {
		runtime.LockOSThread()
		thread <- unix.Gettid()
		_, err := f.Read(make([]byte, 1))
		read <- err
	}()
	waitUntilItReads(<-thread)

	fmt.Println(f.Close())
	fmt.Println("open:", isOpen(p[0]))
	_, err = unix.Write(p[1], []byte("x"))
	must(err)
	fmt.Println(<-read)
	fmt.Println("open:", isOpen(p[0]))
	// Output:
	// <nil>
	// open: true
	// <nil>
	// open: false
}

// waitUntilItReads waits until the thread is in read(2).
func waitUntilItReads(thread int) {
	name := fmt.Sprintf("/proc/self/task/%d/syscall", thread)
	for {
		text, err := os.ReadFile(name)
		must(err)
		if strings.HasPrefix(string(text), fmt.Sprint(unix.SYS_READ, " ")) {
			return
		}
		runtime.Gosched()
	}
}

func Example_openAgain() {
	p := make([]int, 2)
	must(unix.Pipe2(p, unix.O_CLOEXEC))
	defer unix.Close(p[1])
	f, err := scm.NewFile(p[0], "pipe")
	must(err)
	defer f.Close()

	again, err := reopen(f)
	must(err)
	defer again.Close()
	must(again.SetReadDeadline(time.Now()))
	_, err = again.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	fmt.Println(scm.Nonblock(f))
	// Output:
	// true
	// false <nil>
}

// reopen returns a file for the same pipe that has an open file description of its own, and deadlines.
func reopen(pipe *os.File) (f *os.File, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := conn.Control(func(fd uintptr) {
		f, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	})
	return f, errors.Join(err, failed)
}

// Other files cannot be opened again, or are then another file.
func TestReopen(t *testing.T) {
	f, partner := socketFile()
	defer func() { _, _ = f.Close(), partner.Close() }()
	if _, err := reopen(f); !errors.Is(err, unix.ENXIO) {
		t.Error("a socket: ", err)
	}

	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	defer func() { _ = master.Close() }()
	other := program.Must(reopen(master))
	defer func() { _ = other.Close() }()
	terminal := func(f *os.File) uint32 {
		return program.Must(unix.IoctlGetUint32(int(f.Fd()), unix.TIOCGPTN))
	}
	if a, b := terminal(master), terminal(other); a == b {
		t.Error("both are the master of terminal ", a)
	}
}
