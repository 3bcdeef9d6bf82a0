//go:build linux

// Command sendfile is a peer for the interop suite that uses the SendFile and RecvFile methods of
// scm.Conn. The suite's peer runc uses runc's functions with the same names.
package main

import (
	"errors"
	"os"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

func main() {
	peer.Main(peer.Library{
		Name:    "scm-sendfile-" + scm.Backend,
		Version: peer.ModuleVersion("github.com/scm-rights/scm"),
		Can:     "stream,dgram,seqpacket",
		Room:    "4096,1",
		Open: func(sock int) (peer.Socket, error) {
			// The peer keeps its descriptor. The Conn gets a duplicate.
			fd, err := unix.FcntlInt(uintptr(sock), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			if err := unix.SetNonblock(fd, true); err != nil {
				return nil, err
			}
			c, err := scm.NewConnFD(fd)
			if err != nil {
				return nil, err
			}
			return socket{c}, nil
		},
	})
}

type socket struct{ conn *scm.Conn }

func (s socket) Done() { _ = s.conn.Close() }

func (s socket) Send(m peer.Message) (int, error) {
	// An os.File cannot have a negative descriptor.
	if len(m.FDs) != 1 || m.FDs[0] < 0 {
		return 0, peer.ErrUnsupported
	}
	name := string(m.Buffers[0])
	return len(name), s.conn.SendFile(name, file(m.FDs[0], name))
}

func (s socket) Recv(peer.Room) (peer.Received, error) {
	f, err := s.conn.RecvFile()
	if err != nil {
		return peer.Received{}, err
	}
	// Calling Fd would make the file blocking, also for the sender, which shares it.
	raw, err := f.SyscallConn()
	if err != nil {
		return peer.Received{}, err
	}
	var fd int
	var failed error
	err = raw.Control(func(received uintptr) {
		fd, failed = unix.FcntlInt(received, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, failed); err != nil {
		return peer.Received{}, err
	}
	return peer.Received{N: len(f.Name()), Payload: []byte(f.Name()), FDs: []int{fd}}, f.Close()
}

// kept keeps every os.File reachable. The finalizer of an os.File would close its descriptor, which
// belongs to the peer.
var kept []*os.File

func file(fd int, name string) *os.File {
	f := os.NewFile(uintptr(fd), name)
	kept = append(kept, f)
	return f
}
