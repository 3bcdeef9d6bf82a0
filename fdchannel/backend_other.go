//go:build !linux

package fdchannel

import (
	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/msg"
)

// send calls package scm, which does what these systems need before and after a system call.
func send(sock int, m *msg.Message, flags int) error {
	return bare(scm.Send(sock, &scm.Message{FDs: m.FDs, Unpadded: m.Unpadded}, flags))
}

func recv(sock int, m *msg.Message, flags int) error {
	in := scm.Message{FDs: m.FDs}
	err := scm.Recv(sock, &in, flags)
	m.N, m.NFD, m.Flags = in.N, in.NFD, in.Flags
	return bare(err)
}
