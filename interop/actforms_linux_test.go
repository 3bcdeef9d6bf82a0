package interop

import (
	"maps"
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// The runner implements every verb of scenario.ActForms, and no other.
func TestEveryActIsImplemented(t *testing.T) {
	var forms []string
	for _, f := range scenario.ActForms {
		forms = append(forms, f.Verb())
	}
	slices.Sort(forms)
	implemented := slices.Sorted(maps.Keys(acts))
	if !slices.Equal(forms, implemented) {
		t.Errorf("scenario.ActForms has\n%v\nand the runner implements\n%v", forms, implemented)
	}
}
