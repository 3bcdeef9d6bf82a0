package catalogue_test

import (
	"testing"

	inside "github.com/scm-rights/scm/internal/peers"
	"github.com/scm-rights/scm/interop"
	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/peers"
)

// Where all peers are, no expected failure is set aside: each is about a peer that
// there is, and a case that it plays.
func TestExpectedIsAboutSomething(t *testing.T) {
	list, err := catalogue.Expected()
	if err != nil {
		t.Fatal(err)
	}
	var all []*interop.Peer
	seen := map[string]bool{}
	names := peers.Names()
	for _, lib := range inside.All() {
		names = append(names, lib.Name)
	}
	for _, name := range names {
		if !seen[name] {
			all = append(all, interop.Missing(name, ""))
			seen[name] = true
		}
	}
	for _, kernel := range interop.Kernels {
		x, err := interop.Expect(list, kernel, scenarios(t), all, nil, interop.Missing(interop.RunnerName, ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range x.Aside {
			if e.On(kernel) {
				t.Errorf("set aside on %s: %s", kernel, e)
			}
		}
	}
	if len(list) == 0 {
		t.Error("nothing is expected to fail")
	}
}
