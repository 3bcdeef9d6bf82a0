//go:build linux

package fault

import (
	"errors"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// sendFaults are the faults of a library that sends.
var sendFaults = map[string]Fault{
	"again": {
		What:   "sends the rest of a message with the same descriptors again, until the kernel accepts no more",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		send: func(s *socket, m peer.Message) (sent int, err error) {
			m.Buffers = [][]byte{slices.Concat(m.Buffers...)}
			for size := total(m); ; {
				n, err := s.send(m)
				switch {
				case errors.Is(err, unix.EAGAIN) && sent > 0:
					return sent, nil
				case err != nil:
					return n, err
				}
				if sent += n; sent == size {
					return sent, nil
				}
				m.Buffers[0] = m.Buffers[0][n:]
			}
		},
	},
	"carry": {
		What:   "sends descriptors that a full socket refused along with the next message",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		send: func(s *socket, m peer.Message) (int, error) {
			m.FDs = slices.Concat(s.refused, m.FDs)
			n, err := s.send(m)
			s.refuse(m.FDs, err)
			return n, err
		},
	},
	"chunk": {
		What:   "splits too many descriptors across several messages",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (n int, err error) {
			parts := slices.Collect(slices.Chunk(m.FDs, 253))
			if len(parts) < 2 {
				return s.send(m)
			}
			for _, part := range parts {
				m.FDs = part
				if n, err = s.send(m); err != nil {
					return n, err
				}
			}
			return n, nil
		},
	},
	"forget": {
		What:   "treats descriptors that a full socket refused as sent, and sends the next message without any",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (int, error) {
			if len(s.refused) > 0 {
				m.FDs = nil
			}
			n, err := s.send(m)
			s.refuse(m.FDs, err)
			return n, err
		},
	},
	"keep": {
		What:   "keeps a duplicate of what it sends",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "open",
		Slow:   true,
		send: func(s *socket, m peer.Message) (int, error) {
			if err := keep(m.FDs); err != nil {
				return -1, err
			}
			return s.send(m)
		},
	},
	"fussy": {
		What:   "leaves out terminals, and sockets other than those of a connected Unix pair",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptor",
		message: func(m *peer.Message) {
			m.FDs = slices.DeleteFunc(slices.Clone(m.FDs), func(fd int) bool {
				_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
				listens, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
				family, failed := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
				return err == nil || listens == 1 || failed == nil && family != unix.AF_UNIX
			})
		},
	},
	"hide": {
		What:   "keeps what it sends in flight, in a message to itself",
		Checks: []scenario.Check{scenario.CheckLeak},
		Text:   "is still open somewhere",
		Slow:   true,
		send: func(s *socket, m peer.Message) (int, error) {
			n, err := s.send(m)
			if err == nil {
				err = park(m.FDs)
			}
			return n, err
		},
	},
	"last": {
		What:   "sends the buffers of a stream one by one, and the descriptors with the last one",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		send: func(s *socket, m peer.Message) (sent int, err error) {
			kind, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TYPE)
			if err != nil || kind != unix.SOCK_STREAM || len(m.Buffers) < 2 {
				return s.send(m)
			}
			for i, b := range m.Buffers {
				part := peer.Message{Buffers: [][]byte{b}, Flags: m.Flags}
				if i == len(m.Buffers)-1 {
					part.FDs = m.FDs
				}
				n, err := s.send(part)
				if err != nil {
					return n, err
				}
				sent += n
			}
			return sent, nil
		},
	},
	"lazy": {
		What:        "reports success at once, and sends only at the next command",
		Checks:      []scenario.Check{scenario.CheckAnswer},
		EndsSession: true,
		Slow:        true,
		send: func(s *socket, m peer.Message) (int, error) {
			s.flush()
			s.waiting = &m
			return total(m), nil
		},
		recv: func(s *socket, r peer.Room) (peer.Received, error) {
			s.flush()
			return s.recv(r)
		},
	},
	"reopen": {
		What:   "opens the files again, and sends the new descriptions",
		Checks: []scenario.Check{scenario.CheckFile},
		Text:   "is not the open file description of",
		send: func(s *socket, m peer.Message) (int, error) {
			given := m.FDs
			m.FDs = reopened(given)
			n, err := s.send(m)
			closeAll(slices.DeleteFunc(m.FDs, func(fd int) bool { return slices.Contains(given, fd) }))
			return n, err
		},
	},
	"resend": {
		What:   "sends the rest of a partially sent message with the same descriptors again",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   " descriptors, and not ",
		send: func(s *socket, m peer.Message) (int, error) {
			m.Buffers = [][]byte{slices.Concat(m.Buffers...)}
			return s.inParts(m, m.Flags, func(m *peer.Message, n int) { m.Buffers = [][]byte{m.Buffers[0][n:]} })
		},
	},
	"resume": {
		What:   "continues a partial send at the beginning of the buffer in which it stopped",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   "payload is",
		send: func(s *socket, m peer.Message) (int, error) {
			m.Buffers = slices.Clone(m.Buffers)
			return s.inParts(m, m.Flags|unix.MSG_DONTWAIT, func(m *peer.Message, n int) {
				for m.FDs = nil; n >= len(m.Buffers[0]); m.Buffers = m.Buffers[1:] {
					n -= len(m.Buffers[0])
				}
				m.Buffers[0] = m.Buffers[0][:len(m.Buffers[0])-n]
			})
		},
	},
}

// inParts sends repeatedly until the whole message is sent. After each partial send of n bytes, it calls rest
// to remove them from the message.
func (s *socket) inParts(m peer.Message, flags int, rest func(m *peer.Message, n int)) (sent int, err error) {
	for size, part := total(m), m; ; {
		part.Flags = flags
		n, err := s.send(part)
		switch {
		case err == nil:
			if sent += n; sent == size {
				return sent, nil
			}
			rest(&part, n)
		case !errors.Is(err, unix.EAGAIN):
			return n, err
		case sent == 0:
			return s.send(m) // this waits unless the caller passed MSG_DONTWAIT
		}
		// Wait until the socket accepts more.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return sent, err
		}
	}
}

// refuse remembers the descriptors of a message that a full socket refused.
func (s *socket) refuse(fds []int, err error) {
	s.refused = nil
	if errors.Is(err, unix.EAGAIN) {
		s.refused = fds
	}
}

func total(m peer.Message) (n int) {
	for _, b := range m.Buffers {
		n += len(b)
	}
	return n
}

// flush sends the message that lazy postponed.
func (s *socket) flush() {
	if m := s.waiting; m != nil {
		s.waiting = nil
		_, _ = s.send(*m) // lazy has already reported success
	}
}

// reopened opens the files again, except those that cannot be opened, such as sockets.
func reopened(fds []int) []int {
	again := slices.Clone(fds)
	for i, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		mode := flags&(unix.O_ACCMODE|unix.O_PATH) | unix.O_CLOEXEC | unix.O_NONBLOCK
		opened, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), mode, 0)
		if err != nil {
			continue
		}
		// Restore the status flags. O_NONBLOCK was set only to keep open from blocking on a pipe.
		_, _ = unix.FcntlInt(uintptr(opened), unix.F_SETFL, flags)
		again[i] = opened
	}
	return again
}
