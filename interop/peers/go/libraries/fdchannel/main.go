//go:build linux

// Command fdchannel is a peer for gVisor's package fdchannel, which sends one descriptor and
// no payload per message.
package main

import (
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"gvisor.dev/gvisor/pkg/fdchannel"
)

func main() {
	peer.Main(peer.Library{
		Name:    "fdchannel",
		Version: peer.ModuleVersion("gvisor.dev/gvisor"),
		Can:     "seqpacket",
		Room:    "0,1",
		Open: func(sock int) (peer.Socket, error) {
			return socket{fdchannel.NewEndpoint(sock)}, nil
		},
	})
}

type socket struct{ ep *fdchannel.Endpoint }

func (s socket) Send(m peer.Message) (int, error) {
	if len(m.FDs) != 1 || len(m.Buffers[0]) > 0 {
		return 0, peer.ErrUnsupported
	}
	return 0, s.ep.SendFD(m.FDs[0])
}

func (s socket) Recv(peer.Room) (peer.Received, error) {
	fd, err := s.ep.RecvFD()
	if err != nil {
		return peer.Received{}, err
	}
	return peer.Received{FDs: []int{fd}}, nil
}
