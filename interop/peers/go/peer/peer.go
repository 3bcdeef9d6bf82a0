//go:build linux

// Package peer turns a Go library into a peer of the interop suite.
//
// An adapter fills in a [Library]. [Main] runs it as a program, and [Serve] runs it inside another
// program. interop/peers/README.md describes the commands and answers of a peer.
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

// Library describes one interface of a library and how a peer calls it.
type Library struct {
	Name    string // one word, as in the matrix
	Version string // one word: see ModuleVersion
	Can     string // what the library supports: "stream,dgram,seqpacket,multi,iov,flags"
	Room    string // "BYTES,FDS" if the library itself sets the limits of a receive, else ""
	Polls   bool   // the library puts its sockets in non-blocking mode
	GC      bool   // received descriptors are closed by the garbage collector
	Closes  bool   // the library closes its socket when a call fails, or some time later

	// Open returns a Socket that calls the library for sock. The peer calls Open once per
	// case, before the first send or receive. Neither Open nor the Socket may close sock,
	// unless Closes is set and the call returns an error other than ErrUnsupported.
	Open func(sock int) (Socket, error)

	// More, if not nil, returns the answer to a line that is not a command of the contract.
	More func(p *Peer, line string) (answer string)
}

// Socket sends and receives one message per call.
//
// The peer reports ErrUnsupported as "unsupported". It reports an error that wraps a
// syscall.Errno by the name of the errno, and any other error as the library's own.
type Socket interface {
	// Send sends a message. It returns the number of bytes that the library reports, or the
	// length of the payload if the library reports none. It must not close the descriptors.
	Send(m Message) (n int, err error)

	// Recv receives a message. The peer closes the received descriptors.
	Recv(r Room) (Received, error)
}

// Doner is implemented by a Socket that must be released. The peer calls Done before it
// closes the socket, or at the end of the case if the library has closed it.
type Doner interface {
	Done()
}

// ErrUnsupported means that the library does not provide the requested operation. A call that
// returns ErrUnsupported must not have any effect.
var ErrUnsupported = errors.New("peer: unsupported")

// Message is a message to send.
type Message struct {
	Buffers [][]byte // exactly one, unless Can has "iov"
	FDs     []int    // at most one, unless Can has "multi"; they may be closed or negative
	Flags   int      // 0, unless Can has "flags"
}

// Room contains the buffers and the limits for a receive.
type Room struct {
	Buffers [][]byte // exactly one, unless Can has "iov"
	FDs     int      // the maximum number of descriptors
	Flags   int      // 0, unless Can has "flags"
}

// Filled returns the first n bytes of the concatenated buffers.
func (r Room) Filled(n int) []byte {
	all := slices.Concat(r.Buffers...)
	return all[:max(0, min(n, len(all)))]
}

// Uncounted is the value of Received.Closed if the library reports that it closed
// descriptors, but not how many.
const Uncounted = -1

// Received is the result of one receive, as the library reported it.
type Received struct {
	N        int    // the count that the library reported
	Payload  []byte // the bytes that it returned
	FDs      []int  // the descriptors, in order
	Closed   int    // how many descriptors it reported as closed, or Uncounted
	HasFlags bool   // whether it reports flags
	Flags    int
	EOF      bool // the library itself reported the end of the stream, not an empty message
}

// ModuleVersion returns the version of a module that is part of this program, as one word. It
// returns "unknown" if it cannot determine the version.
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

// Main reads commands from standard input and writes the answers to standard output until the
// end of input. If this fails, it exits with status 1.
func Main(lib Library) {
	signal.Ignore(syscall.SIGPIPE)
	if err := Serve(lib, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Serve reads commands from in until the end of in, and writes each answer to out with one Write.
//
// Serve closes only descriptors that it was given by a "use" command, that the library reported, or
// that were passed to Hold. Before it returns, it closes any of them that are still open.
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

// A Peer is the state of a running peer. It includes the socket of the current case and the
// descriptors that the peer has to close.
type Peer struct {
	lib    Library
	sock   int          // the socket of the case, if it is held
	socket Socket       // the library's object for sock, once opened
	held   map[int]bool // the open descriptors that a "use" gave or the library reported
}

// Sock returns the socket of the case, or -1 if it is closed.
func (p *Peer) Sock() int {
	if !p.held[p.sock] {
		return -1
	}
	return p.sock
}

// Hold makes the peer close these descriptors on "close" or at the end of the case, as it
// does for received descriptors. It ignores negative values.
func (p *Peer) Hold(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			p.held[fd] = true
		}
	}
}

// answer carries out a command and returns the answer. A new command in contract.Commands
// needs a case here.
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

// can reports whether the library supports a message like this.
func (p *Peer) can(buffers, fds, flags int) bool {
	offers := func(what string) bool { return slices.Contains(strings.Split(p.lib.Can, ","), what) }
	return (fds <= 1 || offers("multi")) && (buffers <= 1 || offers("iov")) && (flags == 0 || offers("flags"))
}

// flagsOf returns the flags of a command as an argument for sendmsg(2) or recvmsg(2). It
// returns false if messageFlags does not contain one of them.
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
		return p.failed(err)
	}
	n, err := s.Send(m)
	if err != nil {
		return p.failed(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (p *Peer) recv(command contract.Command) string {
	buffers := contract.Get(command, "bytes", contract.Room(nil)).Buffers()
	flags, ok := flagsOf(command)
	r := Room{buffers, contract.Get(command, "fds", 0), flags}
	fds := r.FDs
	if p.lib.Room != "" {
		fds = 0 // the library itself sets the limit
	}
	if !ok || !p.can(len(r.Buffers), fds, r.Flags) {
		return unsupported
	}
	s, err := p.open()
	if err != nil {
		return p.failed(err)
	}
	got, err := s.Recv(r)
	if err != nil {
		return p.failed(err)
	}
	p.Hold(got.FDs...)
	return formatReceived(got, contract.Get(command, "at", 0))
}

// failed returns the answer to a failed call. If the library closes its socket, the descriptor no
// longer belongs to the peer, and may soon refer to another file.
func (p *Peer) failed(err error) (answer string) {
	if p.lib.Closes && !errors.Is(err, ErrUnsupported) {
		delete(p.held, p.sock)
	}
	return FormatError(err)
}

// open returns the library's object for the socket. The object is created for the first message and
// not for "use", because the answer to "use" cannot report an error.
func (p *Peer) open() (s Socket, err error) {
	if p.Sock() < 0 {
		return nil, ErrUnsupported
	}
	if p.socket != nil {
		return p.socket, nil
	}
	if s, err = p.lib.Open(p.sock); err == nil {
		p.socket = s
	}
	return s, err
}

// release closes a descriptor, and the library's object first if it is the socket.
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

// end closes the socket of the case, and then all other descriptors.
func (p *Peer) end() {
	p.release(p.sock)
	for _, fd := range slices.Sorted(maps.Keys(p.held)) {
		p.release(fd)
	}
}
