package scm

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/scm-rights/scm/internal/sys"
)

// Recv receives one message with a single recvmsg(2) call, like the function [Recv], and returns nil only
// if the message matches e. The caller then owns m.FDs[:m.NFD] and *m.PIDFD, and must close them. Unless
// e.Truncated is set, Recv rejects a message with more than len(m.FDs) descriptors, and a datagram or
// seqpacket message that is longer than m.Buffers. (Empty m.Buffers ask for no bytes, so none are missing.)
//
// If the message does not match, the error is an [*ExpectError]. Recv has then closed every descriptor of
// the message, including *m.PIDFD: m.NFD is 0, and -1 replaces the descriptors in m.FDs. The payload is in
// m.Buffers and its length in m.N, so that the conversation can continue.
//
// At the end of a stream or seqpacket connection the error is [io.EOF]. On a stream, Recv detects the end
// only if m.Buffers is not empty. If e is invalid, or if e.Min is more than len(m.FDs), the error wraps
// EINVAL, and nothing is received. Other errors are those of the function Recv.
func (e Expect) Recv(sock int, m *Message, flags int) error {
	m.reset()
	if err := e.check(); err != nil {
		return err
	}
	if len(m.FDs) < e.Min {
		return sys.Error(fmt.Sprintf("scm: Expect requires %s, but len(m.FDs) is %d", e.count(), len(m.FDs)), sys.EINVAL)
	}
	if err := Recv(sock, m, flags); err != nil {
		return err
	}
	if a := m.arrival(); a.isEmpty() {
		if network, err := sys.Network(int(toInt32(sock))); err == nil && a.isEnd(network) {
			return io.EOF
		}
	}
	return e.verify(m)
}

// Enforce returns nil if the descriptors fds match e. They then stay open and still belong to the caller.
// Otherwise Enforce closes all of them, replaces each with -1 in fds, and returns an [*ExpectError]. If e
// is invalid, Enforce does the same, and the error wraps EINVAL. Enforce closes a descriptor only once even
// if it is in fds twice.
func (e Expect) Enforce(fds []int) error {
	var failed *ExpectError
	if err := e.check(); err != nil {
		failed = &ExpectError{Index: -1, Want: "a valid Expect", Got: "an invalid one", Err: err}
	} else {
		failed = e.firstWrong(fds)
	}
	if failed == nil {
		return nil
	}
	closeAll(fds)
	return failed
}

// verify closes all descriptors and returns an *ExpectError unless the message matches e.
func (e Expect) verify(m *Message) error {
	fds := m.FDs[:m.NFD]
	failed := e.truncated(m)
	if failed == nil {
		failed = e.firstWrong(fds)
		if failed != nil && len(fds) < e.Min && m.Truncated() {
			failed.Got += " in a truncated message"
		}
	}
	if failed == nil {
		return nil
	}
	closeAll(fds)
	m.NFD = 0
	if m.PIDFD != nil && *m.PIDFD >= 0 {
		sys.Close(int(toInt32(*m.PIDFD)))
		*m.PIDFD = -1
	}
	return failed
}

// truncated returns an error that describes what is missing from the message, or nil if e accepts that.
func (e Expect) truncated(m *Message) *ExpectError {
	a := m.arrival()
	if e.Truncated || a.isWhole() {
		return nil
	}
	failed := &ExpectError{Index: -1, Want: "a whole message", Got: "a truncated one"}
	if a.lostBytes() {
		size := 0
		for _, p := range m.Buffers {
			size += len(p)
		}
		failed.Got, failed.Err = fmt.Sprintf("only the first %d bytes", size), io.ErrShortBuffer
	}
	if a.lostFDs() {
		if a.lostBytes() {
			failed.Got += " and"
		} else {
			failed.Got += " with"
		}
		failed.Got += " " + descriptors(m.NFD)
		if len(m.FDs) < e.Max && len(m.FDs) == m.NFD {
			failed.Got += fmt.Sprintf("; Expect allows %s, but len(m.FDs) is %d", e.count(), len(m.FDs))
		}
	}
	return failed
}

// firstWrong returns the first mismatch between fds and e, or nil. It closes nothing.
func (e Expect) firstWrong(fds []int) *ExpectError {
	if !sys.CanTell(string(e.Kind), e.Seals != 0 || e.Protocol != 0 || e.Access == AccessPath) {
		return &ExpectError{Index: -1, Want: e.wanted(), Got: "a system that cannot recognize one", Err: errors.ErrUnsupported}
	}
	if len(fds) < e.Min || len(fds) > e.Max {
		return &ExpectError{Index: -1, Want: e.count(), Got: descriptors(len(fds))}
	}
	for i, fd := range fds {
		if failed := e.wrong(int(toInt32(fd))); failed != nil {
			failed.Index = i
			return failed
		}
	}
	return nil
}

// wrong returns an error that describes why a descriptor does not match e, or nil if it does. It asks only how
// the descriptor was opened if e accepts any kind of file.
func (e Expect) wrong(fd int) *ExpectError {
	f, err := sys.Opened(fd)
	if err == nil && (e.kind() != "" || e.Seals != 0 || !e.matches(f)) {
		err = f.Identify(fd)
	}
	switch {
	case err != nil:
	case e.matches(f):
		return nil
	case f.MayBe(string(e.kind())):
		err = f.Unknown
	default:
		return &ExpectError{Want: e.wanted(), Got: e.describe(f)}
	}
	return &ExpectError{Want: e.wanted(), Got: "one that could not be examined", Err: err}
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
			sys.Close(int(toInt32(fd)))
		}
	}
	for i := range fds {
		fds[i] = -1
	}
}
