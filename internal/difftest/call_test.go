//go:build cgo && linux

package difftest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/internal/msg"
)

// What a call is given where it has nothing to read, so that what it does not
// set, or should not have set, shows.
const (
	staleNumber = -77
	staleByte   = 0xee
	guard       = 8 // bytes behind each buffer
)

var stale = bytes.Repeat([]byte{staleByte}, 4096)

// pattern is what is sent.
var pattern = func() []byte {
	p := make([]byte, 1<<20)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}()

// call calls the backend. It is the nth step.
func (w *world) call(s *step, nth int, o *outcome) {
	ms := s.given()
	from, at := pattern, begin(nth)
	if s.op.sends() {
		for i := range ms {
			ms[i].FDs = w.harmless(ms[i].FDs, s.sock, len(ms[i].Name) > 0)
		}
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
	for i := range s.msgs {
		ms[i].Buffers, at = cut(s.msgs[i].buffers, from, at)
	}
	defer func() {
		if p := recover(); p != nil {
			o.panicked = fmt.Sprint(p)
		}
	}()
	sock := msg.Number(s.sock)
	switch s.op {
	case writeFD:
		o.n, o.err = w.backend.writeFD(sock, ms[0].Buffers[0], msg.Number(ms[0].FDs[0]))
	case readFD:
		o.n, o.fd, o.err = w.backend.readFD(sock, ms[0].Buffers[0])
	case send:
		o.err = w.backend.send(sock, &ms[0], s.flags)
	case recv:
		o.err = w.backend.recv(sock, &ms[0], s.flags)
	case sendBatch:
		o.n, o.err = w.backend.sendBatch(sock, ms, s.flags)
	case recvBatch:
		o.n, o.err = w.backend.recvBatch(sock, ms, s.flags)
	}
	o.msgs = ms
	if s.op.sends() {
		return
	}
	o.payload = w.keep(w.room[:s.room()])
	for i := range ms {
		maskChosen(&ms[i])
	}
}

// maskChosen makes all addresses the same that the kernel chose: a socket with
// SO_PASSCRED gets one when it sends, an abstract one of five digits.
func maskChosen(m *msg.Message) {
	const first = 3
	if m.NameLen == first+5 && len(m.Name) >= first && m.Name[first-1] == 0 {
		for i := first; i < min(m.NameLen, len(m.Name)); i++ {
			m.Name[i] = '*'
		}
	}
}

// given is what the backend is given, but for the buffers.
func (s *step) given() []msg.Message {
	ms := make([]msg.Message, len(s.msgs))
	for i := range s.msgs {
		m := &s.msgs[i]
		ms[i] = msg.Message{
			FDs: slices.Clone(m.fds), Name: bytes.Clone(m.name), Unpadded: m.unpadded,
			N: staleNumber, NFD: staleNumber, Flags: staleNumber, NameLen: staleNumber,
		}
		if !s.op.sends() {
			for j := range m.fds {
				ms[i].FDs[j] = staleNumber
			}
			copy(ms[i].Name, stale)
		}
		if m.cred != nil {
			cred := *m.cred
			ms[i].Cred = &cred
		}
		if m.pidfd {
			number := staleNumber
			ms[i].PIDFD = &number
		}
	}
	return ms
}

// room is how many bytes a receive's buffers take, with what lies behind each.
func (s *step) room() (size int) {
	for i := range s.msgs {
		for _, n := range s.msgs[i].buffers {
			size += n + guard
		}
	}
	return size
}

// begin is where in the pattern the nth step's payload begins.
func begin(nth int) int { return nth * 1009 }

// cut takes buffers of some lengths out of from, and returns where the next one
// begins.
func cut(lengths []int, from []byte, at int) ([][]byte, int) {
	if len(lengths) == 0 {
		return nil, at
	}
	bufs := make([][]byte, len(lengths))
	for i, n := range lengths {
		if at+n > len(from) {
			at = 0
		}
		bufs[i] = from[at : at+n : at+n]
		at += n + guard
	}
	return bufs, at
}

// keep copies bytes to where they stay until the next sequence.
func (w *world) keep(b []byte) []byte {
	at := len(w.kept)
	w.kept = append(w.kept, b...)
	return w.kept[at:len(w.kept):len(w.kept)]
}

// harmless are numbers to send without what would make outcomes depend on chance:
// a socket that could lie in its own queue once it is closed, because the kernel
// collects such garbage in its own time, and, where the user is limited, too many.
func (w *world) harmless(fds []int, sock int, addressed bool) []int {
	for i, fd := range fds {
		if passed, ok := w.socket(fd); ok {
			owner, ok := w.socket(sock)
			// A queue holds only sockets behind its owner, so there is no circle.
			if owner ^= 1; !ok || addressed || passed <= owner {
				fds[i] = w.filler()
			}
		}
	}
	return w.budget.cut(fds)
}

// A budget is how many descriptors may be sent in a sequence.
type budget struct {
	limited bool // by ETOOMANYREFS
	sent    int
}

// cut leaves of the numbers what two worlds can both have in flight, and one for
// a call that takes one.
func (b *budget) cut(fds []int) []int {
	if b.limited && len(fds) <= msg.MaxFDs {
		fds = fds[:min(len(fds), max(1, limit/2-1-b.sent))]
		b.sent += len(fds)
	}
	return fds
}

// socket is the index of the socket that a number holds.
func (w *world) socket(fd int) (int, bool) {
	if fd < 0 || fd >= len(w.table) || !w.table[fd].open {
		return 0, false
	}
	i := int(w.table[fd].identity) - len(w.files)
	return i, i >= 0
}
