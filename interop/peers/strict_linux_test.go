package peers

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/scm-rights/scm/interop/peers/peertest"
)

// The peers in C, Rust and Go are built from the skeletons in these languages, which TestNewPeer in cmd/scm tests.
// This test starts each peer in another language. It builds them where make peers does, so that either uses them again.
func TestPeersAreStrict(t *testing.T) {
	var names []string
	notSocket := map[string]string{}
	for _, s := range embedded().Peers {
		if s.NotSocket != "" {
			names = append(names, s.Name)
			notSocket[s.Name] = s.NotSocket
		}
	}
	var log bytes.Buffer
	for _, b := range BuildPartners(context.Background(), "../..", names, &log) {
		t.Run(b.Name, func(t *testing.T) {
			if b.Why != "" {
				if b.Broken || os.Getenv("CI") == "true" {
					t.Fatalf("%s\n%s", b.Why, log.String())
				}
				t.Skip(b.Why)
			}
			peertest.Strict(t, exec.Command(b.Command[0], b.Command[1:]...), notSocket[b.Name])
		})
	}
}
