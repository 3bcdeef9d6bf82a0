//go:build linux

package builtin

import (
	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/interop/peers/go/peer"
)

const scmModule = "github.com/scm-rights/scm"

// SCM is a peer on scm's Send and Recv, with the backend of this build.
func SCM() peer.Library {
	return peer.Library{
		Name:    "scm-" + scm.Backend,
		Version: peer.ModuleVersion(scmModule),
		Can:     socketTypes + ",multi,iov,flags",
		Open:    func(sock int) (peer.Socket, error) { return scmSocket(sock), nil },
	}
}

type scmSocket int

func (s scmSocket) Send(m peer.Message) (int, error) {
	sent := scm.Message{Buffers: m.Buffers, FDs: m.FDs}
	err := scm.Send(int(s), &sent, m.Flags)
	return sent.N, err
}

func (s scmSocket) Recv(r peer.Room) (peer.Received, error) {
	m := scm.Message{Buffers: r.Buffers, FDs: make([]int, r.FDs)}
	err := scm.Recv(int(s), &m, r.Flags)
	return peer.Received{
		N:        m.N,
		Payload:  r.Filled(m.N),
		FDs:      m.FDs[:m.NFD],
		HasFlags: true,
		Flags:    m.Flags,
	}, err
}
