//go:build linux && cgo && !purego

package fdchannel

import (
	"github.com/scm-rights/scm/csrc"
	"github.com/scm-rights/scm/internal/msg"
)

// Calling the backend directly instead of through package scm makes passing a descriptor 2% faster.

func send(sock int, m *msg.Message, flags int) error { return csrc.Send(int32(sock), m, flags) }
func recv(sock int, m *msg.Message, flags int) error { return csrc.Recv(int32(sock), m, flags) }
