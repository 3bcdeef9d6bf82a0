package scm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/scm-rights/scm/internal/sys"
)

// Recv is like the function [Recv], but returns an [*ExpectError] if the message does not match e or is
// truncated, and then closes all descriptors and replaces them with -1. To accept truncated messages, call the
// function Recv and [Expect.Enforce]. The end of a connection is [io.EOF]. If len(m.FDs) < e.Min, nothing is
// received, and the error wraps EINVAL.
func (e Expect) Recv(sock int, m *Message, flags int) error {
	if err := cmp.Or(m.reset(), e.check()); err != nil {
		return err
	}
	if len(m.FDs) < e.Min {
		return sys.Error(fmt.Sprintf("scm: Expect requires %s, but len(m.FDs) is %d", e.count(), len(m.FDs)), sys.EINVAL)
	}
	if err := Recv(sock, m, flags); err != nil {
		return err
	}
	if a := m.arrival(); a.isEmpty() {
		if network, err := sys.Network(narrow(sock)); err == nil && a.isEnd(network) {
			return io.EOF
		}
	}
	return e.verify(m, true)
}

// Enforce returns nil if the descriptors fds match e. They then stay open and still belong to the
// caller. Otherwise Enforce closes all of them, replaces each with -1 in fds, and returns an
// [*ExpectError], which wraps EINVAL if e is invalid.
func (e Expect) Enforce(fds []int) error {
	if err := e.check(); err != nil {
		closeAll(fds)
		return &ExpectError{Index: -1, Err: err}
	}
	found := e.find(fds)
	if found == nil {
		return nil
	}
	closeAll(fds)
	return e.failure(found)
}

// verify closes all descriptors and returns an *ExpectError unless the message matches e. If whole is set, it
// also rejects a truncated message.
func (e Expect) verify(m *Message, whole bool) error {
	fds, a := m.FDs[:m.NFD], m.arrival()
	var found *mismatch
	if whole && !a.isWhole() {
		found = &mismatch{field: partOnly, index: -1, capacity: len(m.FDs)}
		for _, p := range m.Buffers {
			found.size += len(p)
		}
	} else {
		found = e.find(fds)
	}
	if found == nil {
		return nil
	}
	found.arrival = a
	closeAll(fds)
	m.NFD = 0
	if m.PIDFD != nil && *m.PIDFD >= 0 {
		sys.Close(narrow(*m.PIDFD))
		*m.PIDFD = -1
	}
	return e.failure(found)
}

// A mismatch is the first difference between an Expect and what was received. failure describes it.
type mismatch struct {
	field field
	index int      // of the descriptor that is wrong, or -1
	file  sys.File // its file
	err   error    // why the file could not be examined, or the Expect not applied

	arrival        arrival // the message, or only its number of descriptors
	size, capacity int     // of the buffers and of the space for descriptors, if the message is truncated
}

// A field is what differs in a mismatch.
type field int

const (
	wrongSystem field = iota // the Expect asks for what this system cannot recognize
	partOnly                 // the message is truncated
	wrongNumber              // of descriptors
	wrongFile
	unknownFile // it could not be examined
)

// find returns the first mismatch between fds and e, or nil. It closes nothing.
func (e Expect) find(fds []int) *mismatch {
	if !sys.CanTell(string(e.Kind), e.Seals != 0 || e.Protocol != 0 || e.Access == AccessPath) {
		return &mismatch{field: wrongSystem, index: -1, err: errors.ErrUnsupported}
	}
	if len(fds) < e.Min || len(fds) > e.Max {
		return &mismatch{field: wrongNumber, index: -1, arrival: arrival{nfd: len(fds)}}
	}
	for i, fd := range fds {
		if found := e.compare(narrow(fd)); found != nil {
			found.index = i
			return found
		}
	}
	return nil
}

// compare returns the mismatch between a descriptor's file and e, or nil. It asks only how the descriptor was
// opened if e accepts any kind of file.
func (e Expect) compare(fd int) *mismatch {
	f, err := sys.Opened(fd)
	if err == nil && (e.kind() != "" || e.Seals != 0 || !e.matches(f)) {
		err = f.Identify(fd)
	}
	switch {
	case err != nil:
		return &mismatch{field: unknownFile, err: err}
	case e.matches(f):
		return nil
	case f.MayBe(string(e.kind())):
		return &mismatch{field: unknownFile, err: f.Unknown}
	}
	return &mismatch{field: wrongFile, file: f}
}

// matches reports whether a file is one that e describes.
func (e Expect) matches(f sys.File) bool {
	kind := e.kind()
	return (kind == "" || string(kind) == f.Kind) &&
		(e.Family == 0 || e.Family == f.Family) &&
		(e.Type == 0 || e.Type == f.Type) &&
		(e.Protocol == 0 || e.Protocol == f.Protocol) &&
		e.allows(f.Access) &&
		f.Flags&e.Flags == e.Flags &&
		f.Seals&e.Seals == e.Seals
}

// closeAll closes the descriptors and replaces them with -1. It closes a descriptor only once even if it is
// in fds twice, because another goroutine may have been given the same descriptor since.
func closeAll(fds []int) {
	for i, fd := range fds {
		if fd >= 0 && !slices.Contains(fds[i+1:], fd) {
			sys.Close(narrow(fd))
		}
	}
	for i := range fds {
		fds[i] = -1
	}
}
