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

	// More, where there is one, answers commands that the contract does not
	// have. What it does not know either, it answers with "".
	More func(c Case, line string) (answer string)
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
	p := &peer{lib: lib, held: map[int]bool{}}
	defer p.end()
	r := bufio.NewReaderSize(in, maxLine+len("\n"))
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("peer: reading a command: %w", err)
		}
		if _, err := io.WriteString(out, p.answer(string(line[:len(line)-1]))+"\n"); err != nil {
			return fmt.Errorf("peer: answering: %w", err)
		}
	}
}

// peer is the state of one Serve.
type peer struct {
	lib    Library
	sock   int          // of the case, if any is held
	socket Socket       // the library's view of sock, once opened
	held   map[int]bool // given by "use" or reported, and still open
}

func (p *peer) answer(line string) string {
	c, err := parse(line)
	if err != nil {
		return p.more(line)
	}
	switch c := c.(type) {
	case hello:
		return formatHello(p.lib)
	case use:
		p.end()
		p.sock = c.sock
		p.hold(c.sock)
		p.hold(c.fds...)
		return "ok"
	case send:
		return p.send(c)
	case recv:
		return p.recv(c)
	case closeFDs:
		return p.close(c)
	case end:
		p.end()
		return "ok"
	}
	return unsupported
}

func (p *peer) more(line string) string {
	if p.lib.More != nil {
		if a := p.lib.More(Case{p}, line); a != "" {
			return a
		}
	}
	return unsupported
}

func (p *peer) send(c send) string {
	if len(c.FDs) > 1 && !p.can("multi") || len(c.Buffers) > 1 && !p.can("iov") || c.Flags != 0 && !p.can("flags") {
		return unsupported
	}
	s, err := p.open()
	if err != nil {
		return formatError(err)
	}
	n, err := s.Send(Message(c))
	if err != nil {
		return formatError(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (p *peer) recv(c recv) string {
	if len(c.Buffers) > 1 && !p.can("iov") || c.Flags != 0 && !p.can("flags") {
		return unsupported
	}
	// A library with a room of its own takes what it takes, whatever is asked.
	if c.FDs > 1 && !p.can("multi") && p.lib.Room == "" {
		return unsupported
	}
	s, err := p.open()
	if err != nil {
		return formatError(err)
	}
	got, err := s.Recv(c.Room)
	if err != nil {
		return formatError(err)
	}
	p.hold(got.FDs...)
	return formatReceived(got, c.at)
}

func (p *peer) close(c closeFDs) string {
	for _, fd := range c.fds {
		if !p.held[fd] {
			return unsupported
		}
	}
	for _, fd := range c.fds {
		p.release(fd)
	}
	return "ok"
}

func (p *peer) can(what string) bool {
	return slices.Contains(strings.Split(p.lib.Can, ","), what)
}

// open waits for the first message because "use" has no failure to report.
func (p *peer) open() (Socket, error) {
	if p.socket != nil {
		return p.socket, nil
	}
	if !p.held[p.sock] {
		return nil, ErrUnsupported
	}
	s, err := p.lib.Open(p.sock)
	if err != nil {
		return nil, err
	}
	p.socket = s
	return s, nil
}

func (p *peer) hold(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			p.held[fd] = true
		}
	}
}

func (p *peer) release(fd int) {
	if fd == p.sock {
		if d, ok := p.socket.(Doner); ok {
			d.Done()
		}
		p.socket = nil
	}
	if p.held[fd] {
		delete(p.held, fd)
		_ = syscall.Close(fd)
	}
}

// end closes the library's view before the socket's number, and both before the rest.
func (p *peer) end() {
	p.release(p.sock)
	for _, fd := range slices.Sorted(maps.Keys(p.held)) {
		p.release(fd)
	}
}
