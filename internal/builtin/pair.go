//go:build linux

package builtin

import (
	"errors"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// SCMPair is a peer on scm's WriteFD and ReadFD, with the backend of this build.
func SCMPair() peer.Library {
	return peer.Library{
		Name:    "scm-pair-" + scm.Backend,
		Version: peer.ModuleVersion(scmModule),
		Can:     socketTypes,
		Room:    "*,1",
		Open:    func(sock int) (peer.Socket, error) { return pairSocket(sock), nil },
	}
}

type pairSocket int

func (s pairSocket) Send(m peer.Message) (int, error) {
	if len(m.FDs) != 1 {
		return 0, peer.ErrUnsupported
	}
	return scm.WriteFD(int(s), m.Buffers[0], m.FDs[0])
}

func (s pairSocket) Recv(r peer.Room) (peer.Received, error) {
	n, fd, err := scm.ReadFD(int(s), r.Buffers[0])
	got := peer.Received{N: n, Payload: r.Filled(n)}
	if truncated := (*scm.TruncatedError)(nil); errors.As(err, &truncated) {
		got.Closed = peer.Uncounted
		return got, nil
	}
	if fd >= 0 {
		got.FDs = []int{fd}
	}
	return got, err
}
