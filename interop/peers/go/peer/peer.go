//go:build linux

// This program is a peer for scm interop. It reads commands from standard input and writes
// answers to standard output. Call your library in librarySend and libraryRecv. Return
// ErrUnsupported if the library cannot carry out the command. The peer reports any other error
// in its answer.
//
//	go build -o peer peer.go
//	./peer

package peer

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrUnsupported means that the library does not provide the requested operation. A call that
// returns ErrUnsupported must not have any effect.
var ErrUnsupported = errors.New("unsupported")

// librarySend sends the payload and the descriptors, and returns the count that the library reports.
// The socket and the descriptors are borrowed, here and in libraryRecv. If the library requires an
// os.File, make it from a duplicate, because the garbage collector closes an unused os.File.
func librarySend(sock int, payload []byte, fds []int) (n int, err error) {
	return 0, ErrUnsupported
}

// libraryRecv receives into payload, and at most room descriptors. It returns the count, the descriptors
// and the msg_flags that the library reports. If the library does not report flags, flags is noFlags.
func libraryRecv(sock int, payload []byte, room int) (n int, fds []int, flags int, err error) {
	return 0, nil, noFlags, ErrUnsupported
}

const (
	noFlags     = -1
	maxPayload  = 64 << 20
	unsupported = "unsupported"
)

// A Peer is the state of a running peer.
type Peer struct {
	forms   map[string]func(*command) string // the answers, by verb and sorted fields
	sock    int                              // the socket of the case
	held    map[int]bool                     // the socket, the files of the case, and the received descriptors
	closeFD func(fd int) error
}

// newPeer returns a peer that answers hello with this text.
func newPeer(hello string) *Peer {
	p := &Peer{held: map[int]bool{}, closeFD: syscall.Close}
	p.forms = map[string]func(*command) string{
		"hello":               func(*command) string { return hello },
		"use sock":            p.use,
		"use fds sock":        p.use,
		"send fds payload":    p.send,
		"send at fds payload": p.send,
		"recv bytes fds":      p.recv,
		"recv at bytes fds":   p.recv,
		"close fds":           func(c *command) string { return p.close(c.integers(c.fields["fds"], 0)) },
		"end":                 func(*command) string { return p.end() },
	}
	return p
}

// A command contains the fields of a line.
type command struct {
	fields    map[string]string
	at        int  // where the pattern of the payload begins
	malformed bool // a value of a field is not valid
}

// integer accepts an integer only as it would be printed. Otherwise it returns -1, which no peer holds.
func (c *command) integer(text string, least, most int) int {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < least || n > most {
		c.malformed = true
		return -1
	}
	return n
}

// integers reads N,N,… or -.
func (c *command) integers(text string, least int) (list []int) {
	if text != "-" {
		for word := range strings.SplitSeq(text, ",") {
			list = append(list, c.integer(word, least, math.MaxInt32))
		}
	}
	return list
}

func (c *command) payload(text string, at int) []byte {
	if text == "-" {
		return []byte{}
	}
	if length, ok := strings.CutPrefix(text, "@"); ok {
		return pattern(c.integer(length, 1, maxPayload), at)
	}
	data, err := hex.DecodeString(text)
	c.malformed = c.malformed || err != nil || len(data) == 0 || hex.EncodeToString(data) != text
	return data
}

// pattern returns the bytes of the payload @N.
func pattern(length, at int) []byte {
	b := make([]byte, max(length, 0))
	for i := range b {
		b[i] = byte((at + i) % 251)
	}
	return b
}

func formatPayload(payload []byte, at int) string {
	switch {
	case len(payload) == 0:
		return "-"
	case len(payload) <= 4096:
		return hex.EncodeToString(payload)
	}
	for i, want := range pattern(len(payload), at) {
		if payload[i] != want {
			return fmt.Sprintf("!%d", i)
		}
	}
	return fmt.Sprintf("@%d", len(payload))
}

// FormatList formats a list for use in an answer.
func FormatList[T int | string](list []T) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(list), "[]"), " ", ",")
}

// FormatFlags formats the msg_flags of a received message as the value of flags= in an answer.
func FormatFlags(flags int) string {
	flags &^= syscall.MSG_CMSG_CLOEXEC // it is not reported
	bits := map[string]int{"ctrunc": syscall.MSG_CTRUNC, "trunc": syscall.MSG_TRUNC, "eor": syscall.MSG_EOR, "oob": syscall.MSG_OOB}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(bits)) {
		if flags&bits[name] != 0 {
			names = append(names, name)
			flags &^= bits[name]
		}
	}
	if flags != 0 {
		names = append(names, fmt.Sprintf("%#x", flags))
	}
	return FormatList(names)
}

// FormatError returns the answer to a command that failed.
func FormatError(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, ErrUnsupported):
		return unsupported
	case errors.As(err, &errno) && errno != 0:
		return fmt.Sprintf("err %d", int(errno))
	}
	return "err lib " + strings.Trim(fmt.Sprintf("%+.1000q", err), `"`)
}

// Hold makes the peer close these descriptors at the end of the case. It ignores negative values.
func (p *Peer) Hold(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			p.held[fd] = true
		}
	}
}

func (p *Peer) close(fds []int) string {
	if slices.ContainsFunc(fds, func(fd int) bool { return !p.held[fd] }) {
		return unsupported
	}
	for _, fd := range fds {
		if p.held[fd] { // it may be in the list twice
			delete(p.held, fd)
			_ = p.closeFD(fd)
		}
	}
	return "ok"
}

func (p *Peer) end() string { return p.close(slices.Sorted(maps.Keys(p.held))) }

func (p *Peer) use(c *command) string {
	sock := c.integer(c.fields["sock"], 0, math.MaxInt32)
	fds := c.integers(c.fields["fds"], 0)
	if c.malformed {
		return unsupported
	}
	p.end()
	p.sock = sock
	p.Hold(append(fds, sock)...)
	return "ok"
}

func (p *Peer) send(c *command) string {
	payload := c.payload(c.fields["payload"], c.at)
	fds := c.integers(c.fields["fds"], math.MinInt32)
	if c.malformed || !p.held[p.sock] {
		return unsupported
	}
	n, err := librarySend(p.sock, payload, fds)
	if err != nil {
		return FormatError(err)
	}
	return fmt.Sprintf("ok n=%d", n)
}

func (p *Peer) recv(c *command) string {
	most := c.integer(c.fields["bytes"], 0, maxPayload)
	room := c.integer(c.fields["fds"], 0, math.MaxUint16)
	if c.malformed || !p.held[p.sock] {
		return unsupported
	}
	payload := make([]byte, most)
	n, fds, flags, err := libraryRecv(p.sock, payload, room)
	if err != nil {
		return FormatError(err)
	}
	p.Hold(fds...)
	answer := fmt.Sprintf("ok n=%d payload=%s fds=%s", n, formatPayload(payload[:min(n, most)], c.at), FormatList(fds))
	if flags != noFlags {
		answer += " flags=" + FormatFlags(flags)
	}
	return answer
}

// answer carries out the command in a line, whose fields can have any order.
func (p *Peer) answer(line string) string {
	words := strings.Split(line, " ")
	c := &command{fields: map[string]string{"at": "0", "fds": "-"}}
	for i, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		words[i+1], c.fields[key] = key, value
	}
	slices.Sort(words[1:])
	c.at = c.integer(c.fields["at"], 0, math.MaxInt32) % 251
	if do := p.forms[strings.Join(words, " ")]; do != nil {
		return do(c)
	}
	return unsupported
}

// serve answers each line of in with one Write to out.
func serve(in io.Reader, out io.Writer, answer func(line string) string) error {
	// At the first timer, which can be one of its own, the runtime opens descriptors, and aborts if the table is full.
	defer time.AfterFunc(time.Hour, func() {}).Stop()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<10+1)
	for lines.Scan() {
		if _, err := fmt.Fprintln(out, answer(lines.Text())); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	signal.Ignore(syscall.SIGPIPE)
	// Use your library's name and version. Expected failures can depend on the version.
	// In can=, multi promises several descriptors in a message, iov several buffers, and flags
	// calls with flags of the caller's choice, rather than the flags that a receive reports.
	// If the library waits in an event loop, add polls=yes.
	mine := newPeer("ok name=mine lang=go version=0 can=stream,dgram,seqpacket,multi")
	if err := serve(os.Stdin, os.Stdout, mine.answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
