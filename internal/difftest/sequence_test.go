//go:build cgo && linux

package difftest

import (
	"fmt"
	"strings"

	"github.com/scm-rights/scm/internal/msg"
	"golang.org/x/sys/unix"
)

// A sequence is what is done in both worlds, after each was set up anew.
type sequence struct {
	typ   int  // of the sockets
	named bool // the sockets have addresses
	steps []step
}

// A step is a call of the backend, or a change of circumstances, which the
// worlds make themselves.
type step struct {
	op    op
	sock  int
	flags int
	msgs  []message // one, but for batches

	// Of a change of circumstances.
	option, value int
}

type op int

const (
	writeFD op = iota
	readFD
	send
	recv
	sendBatch
	recvBatch
	closeNumber // sock
	closeAll    // everything that was received, and what fills the table
	shutdown    // sock, value says how
	setOption   // sock, option, value
	fill        // the table, but for so many numbers: value
)

// isCall tells what is a call of the backend.
func (o op) isCall() bool { return o <= recvBatch }

// sends tells which calls send.
func (o op) sends() bool { return o == writeFD || o == send || o == sendBatch }

// A message is what a call is given of one. The pair takes one buffer, and
// writeFD one number.
type message struct {
	buffers  []int  // their lengths
	fds      []int  // to send; of a receive only how many matters
	name     []byte // to send to; of a receive only how long it is matters
	cred     *msg.Cred
	pidfd    bool
	unpadded bool
}

var opWords = map[op]string{
	writeFD: "WriteFD to", readFD: "ReadFD from", send: "Send to", recv: "Recv from",
	sendBatch: "SendBatch to", recvBatch: "RecvBatch from",
	closeNumber: "close", shutdown: "shutdown of", setOption: "setsockopt of",
}

var typeWords = map[int]string{unix.SOCK_STREAM: "stream", unix.SOCK_DGRAM: "dgram", unix.SOCK_SEQPACKET: "seqpacket"}

// words tells a sequence so that a person can repeat it.
func (s *sequence) words(l *layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "on a pair of %s sockets a, b and another c, d", typeWords[s.typ])
	if s.named {
		b.WriteString(", with those addresses")
	}
	b.WriteString(", not blocking:\n")
	for i := range s.steps {
		fmt.Fprintf(&b, "%4d. %s\n", i+1, s.steps[i].words(l))
	}
	return b.String()
}

func (s *step) words(l *layout) string {
	switch s.op {
	case closeAll:
		return "close everything that was received"
	case fill:
		return fmt.Sprintf("fill the table, but for %d", s.value)
	}
	text := opWords[s.op] + " " + l.label(s.sock)
	switch s.op {
	case closeNumber:
		return text
	case shutdown:
		return fmt.Sprintf("%s: %d", text, s.value)
	case setOption:
		return fmt.Sprintf("%s: option %d = %d", text, s.option, s.value)
	}
	if s.flags != 0 {
		text += fmt.Sprintf(", flags %#x", s.flags)
	}
	for i := range s.msgs {
		prefix := ": "
		if s.op == sendBatch || s.op == recvBatch {
			prefix = fmt.Sprintf("\n      message %d: ", i)
		}
		text += prefix + s.msgs[i].words(l, s.op.sends())
	}
	return text
}

func (m *message) words(l *layout, sends bool) string {
	text := "no buffer"
	if n := len(m.buffers); n > 12 {
		text = fmt.Sprintf("%d buffers of %v … bytes", n, m.buffers[:12])
	} else if n > 0 {
		text = fmt.Sprintf("buffers of %v bytes", m.buffers)
	}
	switch {
	case !sends && len(m.fds) > 0:
		text += fmt.Sprintf(", room for %d descriptors", len(m.fds))
	case len(m.fds) > 0:
		text += fmt.Sprintf(", %d descriptors:", len(m.fds))
		for i, fd := range m.fds {
			if i == 12 {
				text += " …"
				break
			}
			text += " " + l.label(fd)
		}
	}
	switch {
	case m.name != nil && sends:
		text += fmt.Sprintf(", address %q", m.name)
	case m.name != nil:
		text += fmt.Sprintf(", room for an address of %d bytes", len(m.name))
	}
	if m.cred != nil {
		text += ", credentials"
		if sends {
			text += fmt.Sprintf(" %+v", *m.cred)
		}
	}
	if m.pidfd {
		text += ", a pidfd"
	}
	if m.unpadded {
		text += ", unpadded"
	}
	return text
}

// A layout is which number is what at the beginning, in both worlds. It is the
// same whenever a sequence is done.
type layout struct {
	files []string   // their numbers begin at firstFile
	alike []identity // the first file that cannot be told from each: itself, but where kcmp is refused
	socks [4]int     // a and b are a pair, c and d another
	first int        // the lowest free number
	end   int        // the number that no file of a sequence can have
}

// firstFile is above all that the process has open itself.
const firstFile = 64

// file is the number of the i-th file.
func (l *layout) file(i int) int { return firstFile + i }

// filler is the file that stands for any: what the table is filled with.
func (l *layout) filler() int { return firstFile }

// label is what words call a number.
func (l *layout) label(n int) string {
	for i, s := range l.socks {
		if n == s {
			return string(rune('a' + i))
		}
	}
	if i := n - firstFile; i >= 0 && i < len(l.files) {
		return l.files[i]
	}
	if n >= l.first {
		return fmt.Sprintf("%d(first free + %d)", n, n-l.first)
	}
	return fmt.Sprint(n)
}
