//go:build !unix

package scm_test

import (
	"errors"
	"testing"

	"github.com/scm-rights/scm"
)

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
