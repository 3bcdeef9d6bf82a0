package report

import (
	"testing"

	"github.com/scm-rights/scm/interop/witness"
)

// A report identifies the kernel as the run does.
func TestSystemIdentity(t *testing.T) {
	if s, want := system(), witness.ThisKernel(); s.Identity() != want || want.Release == "" {
		t.Errorf("got %+v, and this kernel is %+v", s, want)
	}
}
