//go:build linux

// Package peer turns a Go library into a peer of the interop suite.
//
// An adapter fills in a [Library]. Package interoptest runs the suite with it in the library's own tests. [Main] runs
// it as a program, for scm interop run. interop/peers/README.md describes the commands and answers of a peer.
//
// An author of a library needs these names: [Library], [Socket], [Doner], [Message], [Room], [Received], [Uncounted],
// [ErrUnsupported], [ModuleVersion] and [Main]. In the examples, mine is the package of the library. The other names
// (Library.More, Peer, Serve, FormatError, FormatFlags, FormatList) are for the peers in this repository, and may
// change in any version.
//
// The loop is peer.go, the template that `scm interop new-peer go` prints. This file adds flags, several buffers, and
// the other results that a library can report.
//
// The peer closes the socket, the descriptors that it passes to Send, and those that Recv returns. If the library takes
// and returns values of type *os.File, keep them: the garbage collector closes those that are not reachable. A Socket
// with a duplicate of its own, such as a net.UnixConn, closes that in [Doner]. Recv fills at most the buffers of its
// [Room]; if the library decides how much it receives, set Library.Room.
//
//	type fileSocket struct{ f *os.File } // Open returns fileSocket{kept(os.NewFile(uintptr(sock), "socket"))}
//
//	func (s fileSocket) Send(m peer.Message) (int, error) {
//		if len(m.FDs) != 1 || m.FDs[0] < 0 {
//			return 0, peer.ErrUnsupported
//		}
//		return len(m.Buffers[0]), mine.SendFile(s.f, m.Buffers[0], kept(os.NewFile(uintptr(m.FDs[0]), "file")))
//	}
//
//	func (s fileSocket) Recv(r peer.Room) (peer.Received, error) {
//		n, f, err := mine.RecvFile(s.f, r.Buffers[0])
//		got := peer.Received{N: n, Payload: r.Filled(n)}
//		if f != nil {
//			got.FDs = []int{int(kept(f).Fd())}
//		}
//		return got, err
//	}
//
//	var files []*os.File
//
//	func kept(f *os.File) *os.File {
//		files = append(files, f)
//		return f
//	}
package peer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// Library describes one interface of a library and how a peer calls it.
//
//	var library = peer.Library{
//		Name:    "mine",
//		Version: peer.ModuleVersion("example.org/mine"),
//		Can:     "stream,dgram,seqpacket,multi",
//		Open:    func(sock int) (peer.Socket, error) { return socket{sock}, nil },
//	}
type Library struct {
	Name    string // one word, as in reports
	Version string // one word: see ModuleVersion
	Can     string // what the library supports: "stream,dgram,seqpacket,multi,iov,flags"
	Room    string // "BYTES,FDS" if the library itself sets the limits of a receive, else ""

	// Polls says that the library puts its sockets in non-blocking mode. Scenarios in which a call has to block are
	// left out then.
	Polls bool
	// GC says that only the garbage collector closes some of the descriptors that the library receives. The runner
	// then waits for that, instead of reporting a leak at once.
	GC bool
	// Closes says that the library closes its socket when a call fails, or some time later. The peer then takes the
	// socket for closed after an error.
	Closes bool

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
// syscall.Errno by the errno, and any other error as the library's own.
//
//	type socket struct{ fd int }
type Socket interface {
	// Send sends a message. It returns the number of bytes that the library reports, or the
	// length of the payload if the library reports none. It must not close the descriptors.
	Send(m Message) (n int, err error)

	// Recv receives a message. The peer closes the received descriptors.
	Recv(r Room) (Received, error)
}

// Doner is implemented by a Socket that must be released. The peer calls Done before it
// closes the socket, or after a failed call if the library closes the socket.
//
//	func (c conn) Done() { _ = c.UnixConn.Close() } // made from a duplicate of the socket
type Doner interface {
	Done()
}

// Message is a message to send.
//
//	func (s socket) Send(m peer.Message) (int, error) {
//		if len(m.FDs) > mine.MaxFDs {
//			return 0, peer.ErrUnsupported
//		}
//		return mine.Send(s.fd, m.Buffers[0], m.FDs)
//	}
type Message struct {
	Buffers [][]byte // exactly one, unless Can has "iov"
	FDs     []int    // at most one, unless Can has "multi"; they may be closed or negative
	Flags   int      // 0, unless Can has "flags"
}

// Room contains the buffers and the limits for a receive. For an example, see [Received].
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
//
//	if errors.Is(err, mine.ErrClosedSome) {
//		return peer.Received{N: n, Payload: r.Filled(n), Closed: peer.Uncounted}, nil
//	}
const Uncounted = -1

// Received is the result of one receive, as the library reported it.
//
//	func (s socket) Recv(r peer.Room) (peer.Received, error) {
//		n, fds, err := mine.Recv(s.fd, r.Buffers[0], r.FDs)
//		return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, err
//	}
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
// returns "unknown" if it cannot determine the version, as in a test.
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

// The main of peer.go runs in the printed template.
var _ = main

// Main reads commands from standard input and writes the answers to standard output until the
// end of input. If this fails, it exits with status 1.
//
//	func main() { peer.Main(library) }
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
	s := &libraryPeer{Peer: newPeer(lib.hello()), lib: lib}
	s.closeFD = s.closeDescriptor
	for _, form := range []string{"send fds payload", "send at fds payload", "send fds flags payload", "send at fds flags payload"} {
		s.forms[form] = s.send
	}
	for _, form := range []string{"recv bytes fds", "recv at bytes fds", "recv bytes fds flags", "recv at bytes fds flags"} {
		s.forms[form] = s.recv
	}
	defer s.end()
	return serve(in, out, s.answer)
}

// hello returns the answer to hello.
func (lib Library) hello() string {
	s := fmt.Sprintf("ok name=%s lang=go version=%s can=%s", lib.Name, lib.Version, lib.Can)
	if lib.Room != "" {
		s += " room=" + lib.Room
	}
	if lib.Polls {
		s += " polls=yes"
	}
	if lib.GC {
		s += " gc=yes"
	}
	if lib.Closes {
		s += " closes=yes"
	}
	return s
}

// can reports whether the library supports a message like this.
func (lib Library) can(buffers, fds, flags int) bool {
	offers := func(what string) bool { return slices.Contains(strings.Split(lib.Can, ","), what) }
	return (fds <= 1 || offers("multi")) && (buffers <= 1 || offers("iov")) && (flags == 0 || offers("flags"))
}

// Sock returns the socket of the case, or -1 if it is closed.
func (p *Peer) Sock() int {
	if !p.held[p.sock] {
		return -1
	}
	return p.sock
}

// A libraryPeer is a Peer that calls a Library.
type libraryPeer struct {
	*Peer
	lib    Library
	socket Socket // the library's object for the socket of the case, once opened
}

func (s *libraryPeer) answer(line string) string {
	verb, _, _ := strings.Cut(line, " ")
	for form := range s.forms {
		if name, _, _ := strings.Cut(form, " "); name == verb {
			return s.Peer.answer(line)
		}
	}
	if s.lib.More == nil {
		return unsupported
	}
	return s.lib.More(s.Peer, line)
}

var (
	sendFlags = map[string]int{
		"dontwait": syscall.MSG_DONTWAIT,
		"nosignal": syscall.MSG_NOSIGNAL,
		"eor":      syscall.MSG_EOR,
		"oob":      syscall.MSG_OOB,
		"more":     syscall.MSG_MORE,
	}
	recvFlags = map[string]int{
		"dontwait": syscall.MSG_DONTWAIT,
		"peek":     syscall.MSG_PEEK,
		"trunc":    syscall.MSG_TRUNC,
		"waitall":  syscall.MSG_WAITALL,
		"oob":      syscall.MSG_OOB,
	}
)

// flags returns the flags of a command as an argument for sendmsg(2) or recvmsg(2).
func (c *command) flags(known map[string]int) (flags int) {
	text, ok := c.fields["flags"]
	if !ok || text == "-" {
		return 0
	}
	for name := range strings.SplitSeq(text, ",") {
		bit, ok := known[name]
		c.malformed = c.malformed || !ok
		flags |= bit
	}
	return flags
}

func (s *libraryPeer) send(c *command) string {
	m := Message{FDs: c.integers(c.fields["fds"], math.MinInt32), Flags: c.flags(sendFlags)}
	size := 0
	for text := range strings.SplitSeq(c.fields["payload"], ",") {
		data := c.payload(text, c.at+size) // the pattern continues from one buffer to the next
		m.Buffers = append(m.Buffers, data)
		if size += len(data); size > maxPayload {
			return unsupported
		}
	}
	if c.malformed || !s.lib.can(len(m.Buffers), len(m.FDs), m.Flags) {
		return unsupported
	}
	socket, err := s.open()
	if err != nil {
		return s.failed(err)
	}
	n, err := socket.Send(m)
	if err != nil {
		return s.failed(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (s *libraryPeer) recv(c *command) string {
	r := Room{FDs: c.integer(c.fields["fds"], 0, math.MaxUint16), Flags: c.flags(recvFlags)}
	left := maxPayload
	for text := range strings.SplitSeq(c.fields["bytes"], ",") {
		size := max(c.integer(text, 0, left), 0)
		r.Buffers = append(r.Buffers, make([]byte, size))
		left -= size
	}
	fds := r.FDs
	if s.lib.Room != "" {
		fds = 0 // the library itself sets the limit
	}
	if c.malformed || !s.lib.can(len(r.Buffers), fds, r.Flags) {
		return unsupported
	}
	socket, err := s.open()
	if err != nil {
		return s.failed(err)
	}
	got, err := socket.Recv(r)
	if err != nil {
		return s.failed(err)
	}
	s.Hold(got.FDs...)
	return formatReceived(got, c.at)
}

// formatReceived returns the answer to recv. The pattern of the payload begins at byte at.
func formatReceived(got Received, at int) string {
	fds := FormatList(got.FDs)
	switch {
	case got.Closed > 0:
		fds = strings.TrimPrefix(fmt.Sprintf("%s,closed:%d", fds, got.Closed), "-,")
	case got.Closed == Uncounted:
		fds = strings.TrimPrefix(fds+",closed", "-,")
	}
	s := fmt.Sprintf("ok n=%d payload=%s fds=%s", got.N, formatPayload(got.Payload, at), fds)
	if got.HasFlags {
		s += " flags=" + FormatFlags(got.Flags)
	}
	if got.EOF {
		s += " eof"
	}
	return s
}

// open returns the library's object for the socket. The object is created for the first message and
// not for "use", because the answer to "use" cannot report an error.
func (s *libraryPeer) open() (socket Socket, err error) {
	if s.Sock() < 0 {
		return nil, ErrUnsupported
	}
	if s.socket != nil {
		return s.socket, nil
	}
	if socket, err = s.lib.Open(s.sock); err == nil {
		s.socket = socket
	}
	return socket, err
}

// failed returns the answer to a failed call. If the library closes its socket, the descriptor no
// longer belongs to the peer, and may soon refer to another file.
func (s *libraryPeer) failed(err error) (answer string) {
	if s.lib.Closes && !errors.Is(err, ErrUnsupported) {
		s.done()
		delete(s.held, s.sock)
	}
	return FormatError(err)
}

// closeDescriptor closes a descriptor, and the library's object first if it is the socket.
func (s *libraryPeer) closeDescriptor(fd int) error {
	if fd == s.sock {
		s.done()
	}
	return syscall.Close(fd)
}

func (s *libraryPeer) done() {
	if d, ok := s.socket.(Doner); ok {
		d.Done()
	}
	s.socket = nil
}
