//go:build linux

package builtin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// Net is a peer on WriteMsgUnix and ReadMsgUnix of net.UnixConn, with control messages made by x/sys.
func Net() peer.Library {
	return peer.Library{
		Name:    "net",
		Version: runtime.Version(),
		Can:     socketTypes + ",multi",
		Polls:   true,
		Open:    openNet,
	}
}

// openNet passes a duplicate to net.FileConn, because the os.File closes its descriptor. The connection is
// another duplicate, and makes the socket non-blocking.
func openNet(sock int) (peer.Socket, error) {
	dup, err := unix.FcntlInt(uintptr(sock), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("net.FileConn made a %T: %w", c, peer.ErrUnsupported)
	}
	return netSocket{u}, nil
}

type netSocket struct{ c *net.UnixConn }

func (s netSocket) Done() { _ = s.c.Close() }

func (s netSocket) Send(m peer.Message) (int, error) {
	n, _, err := s.c.WriteMsgUnix(m.Buffers[0], control(m.FDs), nil)
	return n, err
}

func (s netSocket) Recv(r peer.Room) (peer.Received, error) {
	oob := controlFor(r.FDs)
	n, oobn, flags, _, err := s.c.ReadMsgUnix(r.Buffers[0], oob)
	got := peer.Received{N: n, Payload: r.Filled(n), HasFlags: true, Flags: flags, EOF: errors.Is(err, io.EOF)}
	if err != nil && !got.EOF {
		return got, err
	}
	// Even after io.EOF, which net returns for an empty packet with descriptors.
	got.FDs, err = received(oob[:oobn])
	return got, err
}
