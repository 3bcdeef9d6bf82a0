//go:build linux

package builtin

import (
	"errors"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdchannel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// FDChannel is a peer on scm's package fdchannel, with the backend of this build.
func FDChannel() peer.Library {
	return peer.Library{
		Name:    "scm-fdchannel-" + scm.Backend,
		Version: peer.ModuleVersion(scmModule),
		Can:     "seqpacket",
		Room:    "0,1",
		Open: func(sock int) (peer.Socket, error) {
			return endpointSocket{fdchannel.NewEndpoint(sock)}, nil
		},
	}
}

type endpointSocket struct{ ep *fdchannel.Endpoint }

func (s endpointSocket) Send(m peer.Message) (int, error) {
	if len(m.FDs) != 1 || len(m.Buffers[0]) > 0 {
		return 0, peer.ErrUnsupported
	}
	return 0, s.ep.SendFD(m.FDs[0])
}

func (s endpointSocket) Recv(peer.Room) (peer.Received, error) {
	fd, err := s.ep.RecvFD()
	if truncated := (*scm.TruncatedError)(nil); errors.As(err, &truncated) {
		return peer.Received{Closed: peer.Uncounted}, nil
	}
	if err != nil {
		return peer.Received{}, err
	}
	return peer.Received{FDs: []int{fd}}, nil
}
