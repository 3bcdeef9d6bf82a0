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

	// More, if it is not nil, answers each line that is none of the commands of the contract.
	More func(p *Peer, line string) (answer string)
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
	p := &Peer{lib: lib, held: map[int]bool{}}
	defer p.end()
	r := bufio.NewReaderSize(in, contract.MaxLine+len("\n"))
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

// A Peer is the state of a running peer: the case that it takes part in, and its open descriptors.
type Peer struct {
	lib    Library
	sock   int          // of the case, if any is held
	socket Socket       // the library's view of sock, once opened
	held   map[int]bool // given by "use" or reported, and still open
}

// Sock is the socket of the case, or -1 when it is closed.
func (p *Peer) Sock() int {
	if !p.held[p.sock] {
		return -1
	}
	return p.sock
}

// Hold makes the numbers the peer's, to be closed as those that it received are.
func (p *Peer) Hold(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			p.held[fd] = true
		}
	}
}

// answer carries out a command of contract.Commands. A new one has a case here.
func (p *Peer) answer(line string) string {
	command, err := contract.ParseCommand(contract.Commands, line)
	switch {
	case command.Verb == "" && p.lib.More != nil:
		return p.lib.More(p, line)
	case err != nil:
		return unsupported
	}
	fds := contract.Get(command, "fds", []int(nil))
	switch command.Verb {
	case "hello":
		return formatHello(p.lib)
	case "use":
		p.end()
		p.sock = contract.Get(command, "sock", -1)
		p.Hold(p.sock)
		p.Hold(fds...)
	case "send":
		return p.send(command, fds)
	case "recv":
		return p.recv(command)
	case "close":
		if slices.ContainsFunc(fds, func(fd int) bool { return !p.held[fd] }) {
			return unsupported
		}
		for _, fd := range fds {
			p.release(fd)
		}
	case "end":
		p.end()
	default:
		return unsupported
	}
	return "ok"
}

// can reports whether the library has an interface for so much.
func (p *Peer) can(buffers, fds, flags int) bool {
	offers := func(what string) bool { return slices.Contains(strings.Split(p.lib.Can, ","), what) }
	return (fds <= 1 || offers("multi")) && (buffers <= 1 || offers("iov")) && (flags == 0 || offers("flags"))
}

// flagsOf returns the flags of a command for sendmsg(2) or recvmsg(2), or false if it has one
// without a bit here.
func flagsOf(command contract.Command) (flags int, ok bool) {
	for _, name := range contract.Get(command, "flags", []string(nil)) {
		bit, ok := messageFlags[name]
		if !ok {
			return 0, false
		}
		flags |= bit
	}
	return flags, true
}

func (p *Peer) send(command contract.Command, fds []int) string {
	buffers := contract.Get(command, "payload", contract.Payload(nil)).Buffers(contract.Get(command, "at", 0))
	flags, ok := flagsOf(command)
	m := Message{buffers, fds, flags}
	if !ok || !p.can(len(m.Buffers), len(m.FDs), m.Flags) {
		return unsupported
	}
	s, err := p.open()
	if err != nil {
		return FormatError(err)
	}
	n, err := s.Send(m)
	if err != nil {
		return FormatError(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (p *Peer) recv(command contract.Command) string {
	buffers := contract.Get(command, "bytes", contract.Room(nil)).Buffers()
	flags, ok := flagsOf(command)
	r := Room{buffers, contract.Get(command, "fds", 0), flags}
	fds := r.FDs
	if p.lib.Room != "" {
		fds = 0 // a library with a room of its own takes what it takes, whatever is asked
	}
	if !ok || !p.can(len(r.Buffers), fds, r.Flags) {
		return unsupported
	}
	s, err := p.open()
	if err != nil {
		return FormatError(err)
	}
	got, err := s.Recv(r)
	if err != nil {
		return FormatError(err)
	}
	p.Hold(got.FDs...)
	return formatReceived(got, contract.Get(command, "at", 0))
}

// open waits for the first message because "use" has no failure to report.
func (p *Peer) open() (s Socket, err error) {
	if p.socket != nil {
		return p.socket, nil
	}
	if p.Sock() < 0 {
		return nil, ErrUnsupported
	}
	if s, err = p.lib.Open(p.sock); err == nil {
		p.socket = s
	}
	return s, err
}

func (p *Peer) release(fd int) {
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
func (p *Peer) end() {
	p.release(p.sock)
	for _, fd := range slices.Sorted(maps.Keys(p.held)) {
		p.release(fd)
	}
}
