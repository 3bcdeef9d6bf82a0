//go:build linux

// Command unet is a peer for gVisor's package unet, with descriptors in the ControlMessage of a
// SocketReader or SocketWriter.
package main

import (
	"errors"
	"io"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"gvisor.dev/gvisor/pkg/unet"
)

func main() {
	peer.Main(peer.Library{
		Name:    "unet",
		Version: peer.ModuleVersion("gvisor.dev/gvisor"),
		Can:     "stream,seqpacket,multi,iov",
		Polls:   true,
		Open: func(sock int) (peer.Socket, error) {
			s, err := unet.NewSocket(sock)
			return socket{s}, err
		},
	})
}

type socket struct{ s *unet.Socket }

func (s socket) Send(m peer.Message) (int, error) {
	w := s.s.Writer(true)
	if len(m.FDs) > 0 {
		w.PackFDs(m.FDs...)
	}
	return w.WriteVec(m.Buffers)
}

func (s socket) Recv(room peer.Room) (peer.Received, error) {
	r := s.s.Reader(true)
	if room.FDs > 0 {
		r.EnableFDs(room.FDs)
	}
	n, err := r.ReadVec(room.Buffers)
	if err != nil && !errors.Is(err, io.EOF) {
		r.CloseFDs() // as the package requires, and as gVisor does after an error
		return peer.Received{}, err
	}
	got := peer.Received{N: n, Payload: room.Filled(n), EOF: err != nil}
	got.FDs, err = r.ExtractFDs()
	return got, err
}

// Done ends the library's use of the socket without closing it.
func (s socket) Done() { _, _ = s.s.Release() }
