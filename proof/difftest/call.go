//go:build linux

package difftest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/internal/msg"
)

// The values of everything that a call does not read. They show which results it failed to set, or set
// although it should not.
const (
	staleInt  = -77
	staleByte = 0xee
	guard     = 8 // bytes after each buffer
)

var stale = bytes.Repeat([]byte{staleByte}, 4096)

// pattern is the payload of all messages.
var pattern = func() []byte {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}()

// call makes the call of step s, the nth of its sequence.
func (w *world) call(s *step, nth int, o *outcome) {
	m := s.given()
	from, at := pattern, begin(nth)
	if s.op.sends() {
		m.FDs = w.harmless(m.FDs, s.sock, len(m.Name) > 0)
	} else {
		size := s.room()
		if len(w.room) < size {
			w.room = make([]byte, size)
		}
		for at := 0; at < size; {
			at += copy(w.room[at:size], stale)
		}
		from, at = w.room, 0
	}
	m.Buffers = cut(s.msg.buffers, from, at)
	w.pass(s, &m, o)
	o.msg = m
	if s.op.sends() {
		return
	}
	o.payload = w.keep(w.room[:s.room()])
	maskChosen(&o.msg)
}

// pass passes the message to the backend, and stores what it returns.
func (w *world) pass(s *step, m *msg.Message, o *outcome) {
	defer func() {
		if p := recover(); p != nil {
			o.panicked = fmt.Sprint(p)
		}
	}()
	sock := msg.Number(s.sock)
	w.calls++
	w.mark(w.calls)
	defer w.mark(0)
	switch s.op {
	case writeFD:
		o.n, o.err = w.WriteFD(sock, m.Buffers[0], msg.Number(m.FDs[0]))
	case readFD:
		o.n, o.fd, o.err = w.ReadFD(sock, m.Buffers[0])
	case send:
		o.err = w.Send(sock, m, s.flags)
	case recv:
		o.err = w.Recv(sock, m, s.flags)
	}
}

// maskChosen masks an address that the kernel chose. A socket with SO_PASSCRED is bound to an abstract
// address of five digits when it sends.
func maskChosen(m *msg.Message) {
	const first = 3
	if m.NameLen == first+5 && len(m.Name) >= first && m.Name[first-1] == 0 {
		for i := first; i < min(m.NameLen, len(m.Name)); i++ {
			m.Name[i] = '*'
		}
	}
}

// given returns the message for the backend, without the buffers.
func (s *step) given() msg.Message {
	from := &s.msg
	m := msg.Message{
		FDs: slices.Clone(from.fds), Name: bytes.Clone(from.name), Unpadded: from.unpadded,
		N: staleInt, NFD: staleInt, Flags: staleInt, NameLen: staleInt,
	}
	if !s.op.sends() {
		for i := range m.FDs {
			m.FDs[i] = staleInt
		}
		copy(m.Name, stale)
	}
	if from.cred != nil {
		cred := *from.cred
		m.Cred = &cred
	}
	if from.pidfd {
		pidfd := staleInt
		m.PIDFD = &pidfd
	}
	return m
}

// room returns the size of the buffers of a receive, with the guard after each.
func (s *step) room() (size int) {
	for _, n := range s.msg.buffers {
		size += n + guard
	}
	return size
}

// begin returns the offset in pattern of the payload of the nth step.
func begin(nth int) int { return nth * 1009 }

// cut returns buffers of the given lengths, which are parts of from.
func cut(lengths []int, from []byte, at int) [][]byte {
	if len(lengths) == 0 {
		return nil
	}
	bufs := make([][]byte, len(lengths))
	for i, n := range lengths {
		if at+n > len(from) {
			at = 0
		}
		bufs[i] = from[at : at+n : at+n]
		at += n + guard
	}
	return bufs
}

// keep returns a copy of b that is valid until the next sequence.
func (w *world) keep(b []byte) []byte {
	at := len(w.kept)
	w.kept = append(w.kept, b...)
	return w.kept[at:len(w.kept):len(w.kept)]
}

// harmless replaces the descriptors that would make outcomes unpredictable, and returns the result. A
// socket in its own queue is garbage once it is closed, which the kernel collects at an unpredictable time.
// For a user limited by ETOOMANYREFS, harmless also reduces the descriptors to a number that both worlds can
// have in flight, or to one for calls that need one.
func (w *world) harmless(fds []int, sock int, addressed bool) []int {
	for i, fd := range fds {
		if passed, ok := w.socket(fd); ok {
			owner, ok := w.socket(sock)
			// A queue holds only sockets with a higher index than its owner, so there is no cycle.
			if owner ^= 1; !ok || addressed || passed <= owner {
				fds[i] = w.filler()
			}
		}
	}
	if w.limited && len(fds) <= msg.MaxFDs {
		fds = fds[:min(len(fds), max(1, limit/2-1-w.sent))]
		w.sent += len(fds)
	}
	return fds
}

// socket returns the index of the socket that a descriptor refers to.
func (w *world) socket(fd int) (int, bool) {
	if fd < 0 || fd >= len(w.table) || !w.table[fd].open {
		return 0, false
	}
	i := int(w.table[fd].identity) - len(w.files)
	return i, i >= 0
}
