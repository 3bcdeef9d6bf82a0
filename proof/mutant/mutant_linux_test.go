package mutant

import (
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

// Without this test, only SCM_MUTANTS=full would find a fault whose place in the sources has changed.
func TestFaultsHaveAPlace(t *testing.T) {
	for _, by := range []Finder{Specs, Walk, Record} {
		for _, f := range By(by) {
			if err := must.Try(func() { f.overlay("../..", t.TempDir()) }); err != nil {
				t.Errorf("%s: %v", f.What, err)
			}
		}
	}
}
