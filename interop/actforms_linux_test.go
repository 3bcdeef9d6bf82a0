package interop

import (
	"maps"
	"slices"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// Every verb that a scenario can use is one that the runner plays.
func TestEveryActIsPlayed(t *testing.T) {
	var forms []string
	for _, f := range scenario.ActForms {
		forms = append(forms, f.Verb())
	}
	slices.Sort(forms)
	if played := slices.Sorted(maps.Keys(acts)); !slices.Equal(forms, played) {
		t.Errorf("scenario.ActForms has\n%v\nand the runner plays\n%v", forms, played)
	}
}
