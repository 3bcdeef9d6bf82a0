package interop

import (
	"io"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/raw"
)

// runnerPeer is the runner as a peer: raw system calls, nothing that is judged.
func runnerPeer() *Peer {
	return InProcess(RunnerName, func(in io.Reader, out io.Writer) error {
		return peer.Serve(peer.Library{
			Name:    RunnerName,
			Version: "0",
			Can:     "stream,dgram,seqpacket,multi,iov,flags",
			Open:    func(sock int) (peer.Socket, error) { return rawSocket(sock), nil },
		}, in, out)
	})
}

type rawSocket int

func (s rawSocket) Send(m peer.Message) (int, error) {
	return raw.Send(int(s), m.Buffers, m.FDs, m.Flags)
}

func (s rawSocket) Recv(r peer.Room) (got peer.Received, err error) {
	n, fds, flags, err := raw.Recv(int(s), r.Buffers, r.FDs, r.Flags)
	if err != nil {
		return got, err
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds, Flags: flags, HasFlags: true}, nil
}
