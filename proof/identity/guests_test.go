//go:build linux

package identity

import (
	"slices"
	"testing"

	"github.com/scm-rights/scm/internal/recorder"
	machines "github.com/scm-rights/scm/proof/target"
)

// The proof covers the architecture of each kernel, and the recorder supports it.
func TestEachKernelHasAGuest(t *testing.T) {
	for _, k := range machines.Kernels() {
		native := machines.Target{Arch: k.Arch}.Native()
		if recordable := slices.Contains(recorder.Architectures(), k.Arch); !recordable || !native && guestFor(k.Arch) == nil {
			t.Errorf("%s: the recorder supports %s: %v; native: %v; guest: %v", k.Name, k.Arch, recordable, native, guestFor(k.Arch) != nil)
		}
	}
}

// guestFor returns the guest for an architecture, or nil.
func guestFor(arch string) *guest {
	list := guests()
	if i := slices.IndexFunc(list, func(g guest) bool { return g.kernel.Arch == arch }); i >= 0 {
		return &list[i]
	}
	return nil
}
