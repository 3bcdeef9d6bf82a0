//go:build !unix

package scm_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/scm-rights/scm"
)

// On systems that cannot pass descriptors every call says so, whatever its
// arguments, and returns what it returns for any other error.
func TestUnsupported(t *testing.T) {
	n, err := scm.WriteFD(0, []byte("x"), 0)
	if n != -1 || !errors.Is(err, scm.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("WriteFD: %d, %v", n, err)
	}
	n, fd, err := scm.ReadFD(0, make([]byte, 1))
	if n != -1 || fd != -1 || !errors.Is(err, scm.ErrUnsupported) {
		t.Errorf("ReadFD: %d, %d, %v", n, fd, err)
	}
	for _, m := range []scm.Message{
		{},
		{Buffers: [][]byte{make([]byte, 1)}, FDs: make([]int, 1)},
		{Buffers: make([][]byte, 20), FDs: make([]int, scm.MaxFDs)},
		{FDs: make([]int, scm.MaxFDs+1)},
		{Buffers: make([][]byte, scm.MaxBuffers+1)},
	} {
		m.N, m.NFD, m.Flags = 7, 7, 7
		if err := scm.Send(0, &m, 0); !errors.Is(err, scm.ErrUnsupported) || m.N != 0 {
			t.Errorf("Send of %d buffers, %d descriptors: %v, N %d", len(m.Buffers), len(m.FDs), err, m.N)
		}
		if err := scm.Recv(0, &m, 0); !errors.Is(err, scm.ErrUnsupported) || m.N != 0 || m.NFD != 0 || m.Flags != 0 {
			t.Errorf("Recv of %d buffers, %d descriptors: %v, N %d, NFD %d, Flags %d", len(m.Buffers), len(m.FDs), err, m.N, m.NFD, m.Flags)
		}
	}
	if !errors.Is(scm.ErrTooManyFDs, scm.ErrUnsupported) || !errors.Is(scm.ErrTooManyBuffers, scm.ErrUnsupported) {
		t.Error("the limits' errors do not say that the system cannot pass descriptors")
	}
	if scm.Backend != "purego" {
		t.Errorf("backend %s", scm.Backend)
	}
}

// Nothing makes a Conn on systems that cannot pass descriptors.
func TestUnsupportedConn(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func() error{
		"NewConnFD":    func() error { _, err := scm.NewConnFD(0); return err },
		"Dial":         func() error { _, err := scm.Dial(ctx, "unix", "socket"); return err },
		"Listen":       func() error { _, err := scm.Listen(ctx, "unix", "socket"); return err },
		"ListenPacket": func() error { _, err := scm.ListenPacket(ctx, "unixgram", "socket"); return err },
		"Pair":         func() error { _, _, err := scm.Pair("unix"); return err },
		"Nonblock":     func() error { _, err := scm.Nonblock(os.Stdin); return err },
		"SetNonblock":  func() error { return scm.SetNonblock(os.Stdin, true) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, scm.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(scm.ErrInUse, scm.ErrUnsupported) {
		t.Error("ErrInUse does not say that the system cannot pass descriptors")
	}
}

func TestUnsupportedIdentity(t *testing.T) {
	if cred, err := scm.PeerCred(0); !errors.Is(err, scm.ErrUnsupported) || cred != (scm.Cred{PID: 0, UID: -1, GID: -1}) {
		t.Errorf("PeerCred: %v, %v", cred, err)
	}
	if pidfd, err := scm.PeerPIDFD(0); pidfd != -1 || !errors.Is(err, scm.ErrUnsupported) {
		t.Errorf("PeerPIDFD: %d, %v", pidfd, err)
	}
	for name, call := range map[string]func(int, bool) error{
		"PassCred": scm.PassCred, "PassPIDFD": scm.PassPIDFD, "PassRights": scm.PassRights,
	} {
		if err := call(0, true); !errors.Is(err, scm.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnsupportedExpect(t *testing.T) {
	for _, e := range []scm.Expect{{}, {Min: 1, Max: 1}, {Max: 1, Kind: "memfd", Seals: 1, Family: 1, Type: 1, Access: "read"}} {
		fds := []int{7}
		err := e.Check(fds)
		var failed *scm.ExpectError
		if !errors.As(err, &failed) || !errors.Is(err, scm.ErrUnsupported) || fds[0] != -1 {
			t.Errorf("Check of %+v: %v, %v", e, err, fds)
		}
		m := scm.Message{FDs: fds}
		if err := e.Recv(0, &m, 0); !errors.Is(err, scm.ErrUnsupported) || m.NFD != 0 {
			t.Errorf("Recv of %+v: %v, NFD %d", e, err, m.NFD)
		}
	}
}
