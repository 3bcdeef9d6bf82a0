//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// sendFaults are the faults of a library that sends.
var sendFaults = map[string]fault{
	"add": {what: "sends a byte more than the payload has", send: func(s *socket, m peer.Message) (int, error) {
		m.Buffers = append(slices.Clone(m.Buffers), []byte{'!'})
		n, err := s.send(m)
		return n - 1, err
	}},
	"again": {what: "sends the rest of a message with the same descriptors again, until the kernel takes no more", send: func(s *socket, m peer.Message) (sent int, err error) {
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
	}},
	"carry": {what: "sends descriptors that a full socket refused along with the next message", send: func(s *socket, m peer.Message) (int, error) {
		m.FDs = slices.Concat(s.refused, m.FDs)
		n, err := s.send(m)
		s.refuse(m.FDs, err)
		return n, err
	}},
	"chunk": {what: "sends too many descriptors in parts", send: func(s *socket, m peer.Message) (n int, err error) {
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
	}},
	"consume": {what: "closes what it sent, and what it could not send", send: func(s *socket, m peer.Message) (int, error) {
		n, err := s.send(m)
		closeAll(m.FDs)
		return n, err
	}},
	"drop": {what: "sends the payload without the descriptors", send: func(s *socket, m peer.Message) (int, error) {
		return s.sendControl(m, nil)
	}},
	"extra": {what: "sends its own standard input along", message: func(m *peer.Message) {
		if len(m.FDs) > 0 {
			m.FDs = append(slices.Clone(m.FDs), 0)
		}
	}},
	"forget": {what: "takes descriptors that a full socket refused for sent, and sends the next message without any", send: func(s *socket, m peer.Message) (int, error) {
		if len(s.refused) > 0 {
			m.FDs = nil
		}
		n, err := s.send(m)
		s.refuse(m.FDs, err)
		return n, err
	}},
	"keep": {what: "keeps a duplicate of what it sends", send: func(s *socket, m peer.Message) (int, error) {
		if err := keep(m.FDs); err != nil {
			return -1, err
		}
		return s.send(m)
	}},
	"hide": {what: "keeps what it sends in a message to itself", send: func(s *socket, m peer.Message) (int, error) {
		n, err := s.send(m)
		if err == nil {
			err = park(m.FDs)
		}
		return n, err
	}},
	"last": {what: "sends the buffers of a stream one by one, and the descriptors with the last", send: func(s *socket, m peer.Message) (sent int, err error) {
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
	}},
	"lazy": {what: "sends when it is next told something, and says that it did", send: func(s *socket, m peer.Message) (int, error) {
		s.flush()
		s.waiting = &m
		return total(m), nil
	}, recv: func(s *socket, r peer.Room) (peer.Received, error) {
		s.flush()
		return s.recv(r)
	}},
	"length": {what: "sends a control message that is one descriptor too short", send: func(s *socket, m peer.Message) (int, error) {
		control := rights(m.FDs)
		if len(control) > 0 {
			header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
			header.SetLen(unix.CmsgLen(4 * (len(m.FDs) - 1)))
		}
		return s.sendControl(m, control)
	}},
	"picky": {what: "refuses flags", send: func(s *socket, m peer.Message) (int, error) {
		if m.Flags != 0 {
			return -1, unix.EINVAL
		}
		return s.send(m)
	}},
	"plain": {what: "says of bytes without descriptors that they were sent, whatever the kernel says", send: func(s *socket, m peer.Message) (int, error) {
		n, err := s.send(m)
		if len(m.FDs) == 0 && err != nil {
			return total(m), nil
		}
		return n, err
	}},
	"reopen": {what: "sends newly opened files in place of the open ones", send: func(s *socket, m peer.Message) (int, error) {
		given := m.FDs
		m.FDs = reopened(given)
		n, err := s.send(m)
		closeAll(slices.DeleteFunc(m.FDs, func(fd int) bool { return slices.Contains(given, fd) }))
		return n, err
	}},
	"resend": {what: "sends the rest of a message that was sent in part with the same descriptors again", send: func(s *socket, m peer.Message) (int, error) {
		m.Buffers = [][]byte{slices.Concat(m.Buffers...)}
		return s.inParts(m, m.Flags, func(m *peer.Message, n int) { m.Buffers = [][]byte{m.Buffers[0][n:]} })
	}},
	"resume": {what: "goes on at the beginning of the buffer in which a send ended", send: func(s *socket, m peer.Message) (int, error) {
		m.Buffers = slices.Clone(m.Buffers)
		return s.inParts(m, m.Flags|unix.MSG_DONTWAIT, func(m *peer.Message, n int) {
			for m.FDs = nil; n >= len(m.Buffers[0]); m.Buffers = m.Buffers[1:] {
				n -= len(m.Buffers[0])
			}
			m.Buffers[0] = m.Buffers[0][:len(m.Buffers[0])-n]
		})
	}},
	"skipbad": {what: "leaves bad descriptors out", message: func(m *peer.Message) {
		m.FDs = slices.DeleteFunc(slices.Clone(m.FDs), func(fd int) bool {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			return err != nil
		})
	}},
	"sort": {what: "sends descriptors in the order of their numbers", message: func(m *peer.Message) {
		m.FDs = slices.Sorted(slices.Values(m.FDs))
	}},
}

// inParts sends until all is sent; rest makes of a message what is left of it when n bytes were sent.
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
			return s.send(m) // it waits, if the caller wants that
		}
		// Until the socket has room.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return sent, err
		}
	}
}

// refuse remembers the descriptors of a message if a full socket has refused it.
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

// flush sends what lazy did not.
func (s *socket) flush() {
	if m := s.waiting; m != nil {
		s.waiting = nil
		_, _ = s.send(*m) // it has said already how that went
	}
}

// reopened are the same files, opened anew where that can be done: a socket cannot.
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
		// O_NONBLOCK was for the opening of a pipe alone.
		_, _ = unix.FcntlInt(uintptr(opened), unix.F_SETFL, flags)
		again[i] = opened
	}
	return again
}
