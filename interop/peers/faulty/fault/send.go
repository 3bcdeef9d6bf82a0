//go:build linux

package fault

import (
	"errors"
	"fmt"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// sendFaults are the faults of a library that sends.
var sendFaults = map[string]Fault{
	"carry": {
		What:   "sends descriptors that a full socket refused along with the next message",
		Checks: []scenario.Check{scenario.CheckAnswer},
		Text:   ", and not ",
		send: func(s *socket, m peer.Message) (int, error) {
			m.FDs = slices.Concat(s.refused, m.FDs)
			n, err := s.send(m)
			if s.refused = nil; errors.Is(err, unix.EAGAIN) {
				s.refused = m.FDs
			}
			return n, err
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
		Text:   ", and not ",
		send: func(s *socket, m peer.Message) (int, error) {
			m.Buffers = [][]byte{slices.Concat(m.Buffers...)}
			return s.inParts(m, m.Flags, func(m *peer.Message, n int) { m.Buffers = [][]byte{m.Buffers[0][n:]} })
		},
	},
	"signed": {
		What:   "attaches the credentials of process 1",
		Checks: []scenario.Check{scenario.CheckAnswer},
		send: func(s *socket, m peer.Message) (int, error) {
			control := unix.UnixCredentials(&unix.Ucred{Pid: 1}) // needs privileges
			if len(m.FDs) > 0 {
				control = append(control, raw.Rights(m.FDs...)...)
			}
			return raw.NewMessage(m.Buffers, control).Send(s.fd, m.Flags)
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

func total(m peer.Message) (n int) {
	for _, b := range m.Buffers {
		n += len(b)
	}
	return n
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
