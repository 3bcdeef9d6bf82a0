//go:build linux

// Command runc is a peer for runc's SendFile and RecvFile, which pass a file together with its name.
package main

import (
	"os"

	"github.com/opencontainers/runc/libcontainer/utils"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

func main() {
	peer.Main(peer.Library{
		Name:    "runc",
		Version: peer.ModuleVersion("github.com/opencontainers/runc"),
		Can:     "stream,dgram,seqpacket",
		Room:    "4096,1",
		Open: func(sock int) (peer.Socket, error) {
			return socket{file(sock, "socket")}, nil
		},
	})
}

// kept keeps every os.File reachable. Otherwise its finalizer would close the descriptor, which only
// package peer may do.
var kept []*os.File

func file(fd int, name string) *os.File {
	f := os.NewFile(uintptr(fd), name)
	kept = append(kept, f)
	return f
}

type socket struct{ f *os.File }

func (s socket) Send(m peer.Message) (int, error) {
	// An os.File cannot have a negative descriptor.
	if len(m.FDs) != 1 || m.FDs[0] < 0 {
		return 0, peer.ErrUnsupported
	}
	name := string(m.Buffers[0])
	return len(name), utils.SendFile(s.f, file(m.FDs[0], name))
}

func (s socket) Recv(peer.Room) (peer.Received, error) {
	f, err := utils.RecvFile(s.f)
	if err != nil {
		return peer.Received{}, err
	}
	kept = append(kept, f)
	return peer.Received{N: len(f.Name()), Payload: []byte(f.Name()), FDs: []int{int(f.Fd())}}, nil
}
