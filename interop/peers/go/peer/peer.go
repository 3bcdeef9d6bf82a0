//go:build linux

// Package peer makes a peer of the interop suite out of a Go library.
//
// An adapter fills a [Library]; [Main] runs it as a program and [Serve] inside
// another one. interop/peers/README.md has the language that a peer speaks.
package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/interop/contract"
)

// Library is one interface of one library.
type Library struct {
	Name    string // one word, as in the matrix
	Version string // one word: see ModuleVersion
	Can     string // what it has an interface for: "stream,dgram,seqpacket,multi,iov,flags"
	Room    string // "BYTES,FDS", only if the library fixes the room of a receive itself
	Polls   bool   // the library puts its sockets in non-blocking mode
	GC      bool   // received descriptors are closed by the garbage collector

	// Open makes the library's view of a socket. It is called once a case,
	// with the first send or receive. The number stays the peer's: neither
	// Open nor the Socket may close it.
	Open func(sock int) (Socket, error)

	// More, where there is one, makes the calls that only the runner's own side makes.
	More func(c *Case, call contract.Command) (answer string)
}

// Socket sends and receives one message a call.
//
// An error that wraps a syscall.Errno is reported by its name, ErrUnsupported as
// "unsupported", any other as the library's own.
type Socket interface {
	// Send returns the count that the library reports, and the length of the
	// payload where it reports none. The descriptors stay the peer's.
	Send(m Message) (n int, err error)

	// Recv hands the received descriptors over to the peer.
	Recv(r Room) (Received, error)
}

// Doner is a Socket with something of its own to close. Done is called before the
// socket's number is closed.
type Doner interface {
	Done()
}

// ErrUnsupported is returned for what a library has no interface for, when
// nothing has been done.
var ErrUnsupported = errors.New("peer: unsupported")

// Message is what to send.
type Message struct {
	Buffers [][]byte // exactly one, unless Can has "iov"
	FDs     []int    // at most one, unless Can has "multi"; closed and negative ones too
	Flags   int      // 0, unless Can has "flags"
}

// Room is what to receive into.
type Room struct {
	Buffers [][]byte // exactly one, unless Can has "iov"
	FDs     int      // how many descriptors
	Flags   int      // 0, unless Can has "flags"
}

// Filled returns the first n bytes of the buffers, as one.
func (r Room) Filled(n int) []byte {
	all := slices.Concat(r.Buffers...)
	return all[:max(0, min(n, len(all)))]
}

// Uncounted in Received.Closed: some were closed, the library does not report how many.
const Uncounted = -1

// Received is what a library reported of one receive.
type Received struct {
	N        int    // the count that the library reported
	Payload  []byte // what it delivered
	FDs      []int  // the numbers, in order
	Closed   int    // how many it reported as closed, or Uncounted
	HasFlags bool   // whether it reports flags
	Flags    int
	EOF      bool // the library itself distinguishes the end from an empty message
}

// ModuleVersion returns the version of a module in this program, in one word.
func ModuleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "" {
			return strings.Trim(m.Version, "()")
		}
	}
	return "unknown"
}

// Main serves on standard input and output until the end of input.
func Main(lib Library) {
	signal.Ignore(syscall.SIGPIPE)
	if err := Serve(lib, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Serve answers the commands of in on out, each with one Write, until the end of in.
//
// It closes the numbers that "use" gave and that the library reported, and no
// others. What is still open of them when it returns is closed.
func Serve(lib Library, in io.Reader, out io.Writer) error {
	c := &Case{lib: lib, held: map[int]bool{}}
	defer c.end()
	r := bufio.NewReaderSize(in, contract.MaxLine+len("\n"))
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("peer: reading a command: %w", err)
		}
		if _, err := io.WriteString(out, c.answer(string(line[:len(line)-1]))+"\n"); err != nil {
			return fmt.Errorf("peer: answering: %w", err)
		}
	}
}

// A Case is what a peer has in hand while a case is played.
type Case struct {
	lib    Library
	sock   int          // of the case, if any is held
	socket Socket       // the library's view of sock, once opened
	held   map[int]bool // given by "use" or reported, and still open
}

// Sock is the socket of the case, or -1 when it is closed.
func (c *Case) Sock() int {
	if !c.held[c.sock] {
		return -1
	}
	return c.sock
}

// Hold makes the numbers the peer's, to be closed as those that it received are.
func (c *Case) Hold(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			c.held[fd] = true
		}
	}
}

func (c *Case) answer(line string) string {
	command, err := contract.ParseCommand(line)
	call := contract.Verbs()[command.Verb].Call
	switch {
	case call && c.lib.More != nil && err != nil:
		return FormatError(err)
	case call && c.lib.More != nil:
		return c.lib.More(c, command)
	case call || err != nil:
		return unsupported
	}
	fds := contract.Get(command, "fds", []int(nil))
	switch command.Verb {
	case "hello":
		return formatHello(c.lib)
	case "use":
		c.end()
		c.sock = contract.Get(command, "sock", -1)
		c.Hold(c.sock)
		c.Hold(fds...)
	case "send":
		return c.send(command, fds)
	case "recv":
		return c.recv(command)
	case "close":
		if slices.ContainsFunc(fds, func(fd int) bool { return !c.held[fd] }) {
			return unsupported
		}
		for _, fd := range fds {
			c.release(fd)
		}
	case "end":
		c.end()
	default:
		return unsupported
	}
	return "ok"
}

// can reports whether the library has an interface for so much.
func (c *Case) can(buffers, fds, flags int) bool {
	offers := func(what string) bool { return slices.Contains(strings.Split(c.lib.Can, ","), what) }
	return (fds <= 1 || offers("multi")) && (buffers <= 1 || offers("iov")) && (flags == 0 || offers("flags"))
}

func flagsOf(command contract.Command) int {
	return MessageFlags.Sum(contract.Get(command, "flags", []string(nil))...)
}

func (c *Case) send(command contract.Command, fds []int) string {
	buffers := contract.Get(command, "payload", contract.Payload(nil)).Buffers(contract.Get(command, "at", 0))
	m := Message{buffers, fds, flagsOf(command)}
	if !c.can(len(m.Buffers), len(m.FDs), m.Flags) {
		return unsupported
	}
	s, err := c.open()
	if err != nil {
		return FormatError(err)
	}
	n, err := s.Send(m)
	if err != nil {
		return FormatError(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (c *Case) recv(command contract.Command) string {
	buffers := contract.Get(command, "bytes", contract.Room(nil)).Buffers()
	r := Room{buffers, contract.Get(command, "fds", 0), flagsOf(command)}
	fds := r.FDs
	if c.lib.Room != "" {
		fds = 0 // a library with a room of its own takes what it takes, whatever is asked
	}
	if !c.can(len(r.Buffers), fds, r.Flags) {
		return unsupported
	}
	s, err := c.open()
	if err != nil {
		return FormatError(err)
	}
	got, err := s.Recv(r)
	if err != nil {
		return FormatError(err)
	}
	c.Hold(got.FDs...)
	return formatReceived(got, contract.Get(command, "at", 0))
}

// open waits for the first message because "use" has no failure to report.
func (c *Case) open() (s Socket, err error) {
	if c.socket != nil {
		return c.socket, nil
	}
	if c.Sock() < 0 {
		return nil, ErrUnsupported
	}
	if s, err = c.lib.Open(c.sock); err == nil {
		c.socket = s
	}
	return s, err
}

func (c *Case) release(fd int) {
	if fd == c.sock {
		if d, ok := c.socket.(Doner); ok {
			d.Done()
		}
		c.socket = nil
	}
	if c.held[fd] {
		delete(c.held, fd)
		_ = syscall.Close(fd)
	}
}

// end closes the library's view before the socket's number, and both before the rest.
func (c *Case) end() {
	c.release(c.sock)
	for _, fd := range slices.Sorted(maps.Keys(c.held)) {
		c.release(fd)
	}
}
