//go:build linux

package builtin

import (
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// XSys is a peer on SendmsgBuffers and RecvmsgBuffers of x/sys.
func XSys() peer.Library {
	return peer.Library{
		Name:    "xsys",
		Version: peer.ModuleVersion("golang.org/x/sys"),
		Can:     socketTypes + ",multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return xsysSocket(sock), nil },
	}
}

type xsysSocket int

func (s xsysSocket) Send(m peer.Message) (int, error) {
	return unix.SendmsgBuffers(int(s), m.Buffers, control(m.FDs), nil, m.Flags)
}

func (s xsysSocket) Recv(r peer.Room) (peer.Received, error) {
	oob := controlFor(r.FDs)
	n, oobn, flags, _, err := unix.RecvmsgBuffers(int(s), r.Buffers, oob, r.Flags|unix.MSG_CMSG_CLOEXEC)
	got := peer.Received{N: n, Payload: r.Filled(n), HasFlags: true, Flags: flags}
	if err != nil {
		return got, err
	}
	got.FDs, err = received(oob[:oobn])
	return got, err
}
