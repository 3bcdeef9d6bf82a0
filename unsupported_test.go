//go:build !unix

package scm_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/scm-rights/scm"
)

// On systems that cannot pass descriptors every call fails with errors.ErrUnsupported, whatever its
// arguments, and returns what it returns with any other error.
func TestUnsupported(t *testing.T) {
	ctx := context.Background()
	noCred := scm.Cred{PID: 0, UID: -1, GID: -1}
	n, writeFD := scm.WriteFD(0, []byte("x"), 0)
	m, fd, readFD := scm.ReadFD(0, make([]byte, 1))
	cred, peerCred := scm.PeerCred(0)
	pidfd, peerPIDFD := scm.PeerPIDFD(0)
	if n != -1 || m != -1 || fd != -1 || cred != noCred || pidfd != -1 {
		t.Errorf("results beside an error: %d, %d, %d, %v, %d", n, m, fd, cred, pidfd)
	}
	_, newConnFD := scm.NewConnFD(0)
	_, dial := scm.Dial(ctx, "unix", "socket")
	_, listen := scm.Listen(ctx, "unix", "socket")
	_, listenPacket := scm.ListenPacket(ctx, "unixgram", "socket")
	_, _, pair := scm.Pair("unix")
	_, nonblock := scm.Nonblock(os.Stdin)
	for name, err := range map[string]error{
		"WriteFD": writeFD, "ReadFD": readFD, "PeerCred": peerCred, "PeerPIDFD": peerPIDFD, "NewConnFD": newConnFD,
		"Dial": dial, "Listen": listen, "ListenPacket": listenPacket, "Pair": pair, "Nonblock": nonblock,
		"SetNonblock": scm.SetNonblock(os.Stdin, true), "PassCred": scm.PassCred(0, true),
		"PassPIDFD": scm.PassPIDFD(0, true), "PassRights": scm.PassRights(0, true),
		"ErrTooManyFDs": scm.ErrTooManyFDs, "ErrTooManyBuffers": scm.ErrTooManyBuffers, "ErrInUse": scm.ErrInUse,
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
	if scm.Backend != "purego" {
		t.Errorf("backend %s", scm.Backend)
	}
}

func TestUnsupportedMessage(t *testing.T) {
	for _, m := range []scm.Message{
		{},
		{Buffers: make([][]byte, 20), FDs: make([]int, scm.MaxFDs)},
		{FDs: make([]int, scm.MaxFDs+1)},
		{Buffers: make([][]byte, scm.MaxBuffers+1)},
	} {
		m.N, m.NFD, m.Flags = 7, 7, 7
		if err := scm.Send(0, &m, 0); !errors.Is(err, errors.ErrUnsupported) || m.N != 0 {
			t.Errorf("Send of %d buffers, %d descriptors: %v, N %d", len(m.Buffers), len(m.FDs), err, m.N)
		}
		if err := scm.Recv(0, &m, 0); !errors.Is(err, errors.ErrUnsupported) || m.N+m.NFD+m.Flags != 0 {
			t.Errorf("Recv of %d buffers, %d descriptors: %v, %+v", len(m.Buffers), len(m.FDs), err, m)
		}
	}
	for _, e := range []scm.Expect{{}, {Max: 1, Kind: "memfd", Seals: 1, Family: 1, Type: 1, Access: "read"}} {
		fds := []int{7}
		var failed *scm.ExpectError
		if err := e.Enforce(fds); !errors.As(err, &failed) || !errors.Is(err, errors.ErrUnsupported) || fds[0] != -1 {
			t.Errorf("Check of %+v: %v, %v", e, err, fds)
		}
		m := scm.Message{FDs: fds}
		if err := e.Recv(0, &m, 0); !errors.Is(err, errors.ErrUnsupported) || m.NFD != 0 {
			t.Errorf("Recv of %+v: %v, NFD %d", e, err, m.NFD)
		}
	}
}
