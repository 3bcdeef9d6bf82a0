//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// strict conforms, and refuses what the contract lets a library refuse: control messages
// other than SCM_RIGHTS, a connection on which a message was truncated, and more buffers
// than one system call takes.
type strict struct {
	socket
	over bool // it has given the connection up
}

// mostBuffers is UIO_MAXIOV.
const mostBuffers = 1024

var (
	errTruncated = errors.New("a message was truncated")
	errControl   = errors.New("a control message other than SCM_RIGHTS")
)

func (s *strict) Send(m peer.Message) (int, error) {
	if s.over {
		return 0, peer.ErrUnsupported
	}
	m.Buffers = m.Buffers[:min(len(m.Buffers), mostBuffers)]
	return s.send(m)
}

func (s *strict) Recv(r peer.Room) (peer.Received, error) {
	if s.over {
		return peer.Received{}, peer.ErrUnsupported
	}
	got, messages, err := s.recvControl(r, r.FDs)
	if err != nil {
		return got, err
	}
	if got, err = s.rights(got, messages); err != nil {
		return got, err
	}
	for _, m := range messages {
		if isPidfd(m) {
			closeAll([]int{int(int32(binary.NativeEndian.Uint32(m.Data)))})
		}
	}
	s.over = got.Flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0
	switch {
	case s.over:
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // the other end may be gone
		err = errTruncated
	case slices.ContainsFunc(messages, func(m unix.SocketControlMessage) bool { return !isRights(m) }):
		err = errControl
	}
	if err != nil {
		closeAll(got.FDs)
	}
	return got, err
}
