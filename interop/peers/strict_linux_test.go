package peers

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers/peertest"
)

// The peers in C, Rust and Go are built from the skeletons in these languages, which TestNewPeer in cmd/scm tests.
// This test starts each peer in another language. It builds them where make peers does, so that either uses them again.
func TestPeersAreStrict(t *testing.T) {
	for _, s := range embedded().Peers {
		if s.NotSocket == "" {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			var log bytes.Buffer
			b := BuildPartner(t.Context(), "../..", s.Name, &log)
			if b.Broken {
				t.Fatalf("%s\n%s", b.Why, &log)
			} else if b.Why != "" {
				fdtest.Missing(t, b.Lacks, b.Why)
			}
			peertest.Strict(t, exec.Command(b.Command[0], b.Command[1:]...), s.NotSocket)
		})
	}
}
