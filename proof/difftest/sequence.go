//go:build linux

package difftest

import (
	"fmt"

	"github.com/scm-rights/scm/internal/msg"
)

// A sequence is a list of steps, which run in both worlds after the worlds were reset.
type sequence struct {
	typ   int  // the type of the sockets
	named bool // whether the sockets have addresses
	steps []step
}

func (s *sequence) add(steps ...step) { s.steps = append(s.steps, steps...) }

// A step is a call of the backend, or a change to the sockets or descriptors, which a world makes itself.
type step struct {
	op    op
	sock  int
	flags int
	msg   message

	// For setOption, shutdown and fill.
	option, value int
}

// calls returns the number of calls that a sequence makes of each backend.
func (s *sequence) calls() (n int) {
	for i := range s.steps {
		if s.steps[i].op.isCall() {
			n++
		}
	}
	return n
}

type op int

const (
	writeFD op = iota
	readFD
	send
	recv
	closeFD   // sock
	closeAll  // all received descriptors, and those that fill the table
	shutdown  // sock, in the direction value
	setOption // sock, option, value
	bind      // sock, to the address in msg
	fill      // the descriptor table, except for value descriptors
)

// isCall reports whether the operation is a call of the backend.
func (o op) isCall() bool { return o <= recv }

// sends reports whether the operation sends.
func (o op) sends() bool { return o == writeFD || o == send }

// A message describes a message for a call. writeFD and readFD take one buffer, and writeFD one descriptor.
type message struct {
	buffers  []int  // their lengths
	fds      []int  // to send; for a receive only their number is used
	name     []byte // the address; for a receive only its length is used
	cred     *msg.Cred
	pidfd    bool
	unpadded bool
}

var opWords = map[op]string{
	writeFD: "WriteFD to", readFD: "ReadFD from", send: "Send to", recv: "Recv from",
	closeFD: "close", shutdown: "shutdown of", setOption: "setsockopt of", bind: "bind",
}

func (s *step) words(l *layout) string {
	switch s.op {
	case closeAll:
		return "close all received descriptors"
	case fill:
		return fmt.Sprintf("fill the descriptor table, except for %d", s.value)
	}
	text := opWords[s.op] + " " + l.label(s.sock)
	switch s.op {
	case closeFD:
		return text
	case shutdown:
		return fmt.Sprintf("%s: %d", text, s.value)
	case setOption:
		return fmt.Sprintf("%s: option %d = %d", text, s.option, s.value)
	}
	if s.flags != 0 {
		text += fmt.Sprintf(", flags %#x", s.flags)
	}
	return text + ": " + s.msg.words(l, s.op.sends())
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
		text += fmt.Sprintf(", capacity for %d descriptors", len(m.fds))
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
		text += fmt.Sprintf(", space for an address of %d bytes", len(m.name))
	}
	if m.cred != nil {
		text += ", credentials"
		if sends {
			text += " " + credWords(m.cred)
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

// A layout says which file each descriptor refers to at the beginning of every sequence, in both worlds.
type layout struct {
	files []string // open as firstFile, firstFile+1 and so on
	socks [4]int   // a and b are a pair, c and d another
	first int      // the lowest free descriptor
	end   int      // higher than all descriptors that a sequence can open
}

// firstFile is higher than all descriptors of the process itself.
const firstFile = 64

// file returns the descriptor of the i-th file.
func (l *layout) file(i int) int { return firstFile + i }

// filler returns the descriptor of the file that fills the descriptor table.
func (l *layout) filler() int { return firstFile }

// label names a descriptor.
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
