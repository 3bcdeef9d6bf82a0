//go:build linux && !purego && !scm_purego

package identity

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/mutant"
	machines "github.com/scm-rights/scm/proof/target"
)

// mutantCalls is a number of calls of a walk that is enough to find every fault.
const mutantCalls = 1024

// A fault is built into one backend, for one architecture. The first difference from the other backend must be in the
// field that the fault names.
func TestFaults(t *testing.T) {
	list := mutant.By(mutant.Record)
	if len(list) <= 100 {
		t.Errorf("docs/trust.md says that there are more than a hundred, and there are %d", len(list))
	}
	brieflyProve(t, func(p *proof) {
		m := mutation{proof: p, healthy: map[string]*recording{}}
		mutant.TryAll(t, mutant.Record, list, p.root, m.find)
	})
}

// A mutation contains the recordings of the backends without a fault, with which the mutants are compared.
type mutation struct {
	*proof
	mu      sync.Mutex
	healthy map[string]*recording
}

// without returns the recording of a target without a fault.
func (m *mutation) without(t target, w walk) (*recording, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := fmt.Sprint(t, w)
	if m.healthy[key] == nil {
		path, err := t.build(m.root, m.dir, walkPackage, "")
		if err == nil {
			m.healthy[key], err = w.record(path)
		}
		if err != nil {
			return nil, err
		}
	}
	return m.healthy[key], nil
}

// find returns the first difference that a fault causes, in the form of mutant.Record.
func (m *mutation) find(t *testing.T, f *mutant.Fault, o *mutant.Overlay) (string, error) {
	arch, backend := cmp.Or(f.Arch, runtime.GOARCH), "cgo"
	if !f.Hits(backend) {
		backend = "purego"
	}
	if g := guestFor(arch); g != nil {
		var r Result
		err := must.Try(func() { g.compare(m.proof, t.TempDir(), o.Name, workload{guest: mutantCalls}, &r) })
		return r.Field + ": " + r.First, err
	}
	w := walk{seed: 1, calls: mutantCalls}
	if f.Sizes {
		w = walk{sizes: true}
	}
	of := func(has bool) int {
		return slices.IndexFunc(targets(), func(t target) bool {
			return t.arch == arch && t.libc != "musl" && (t.backend == backend) == has
		})
	}
	mine, other := of(true), of(false)
	if mine < 0 || other < 0 {
		return "", fmt.Errorf("%w: no %s here", machines.ErrMissing, arch)
	}
	base, err := m.without(targets()[other], w)
	if err != nil {
		return "", err
	}
	path, err := targets()[mine].build(m.root, t.TempDir(), walkPackage, o.Name)
	if err != nil {
		return "", err
	}
	// The fault may make the program fail. Compare the calls recorded up to the failure.
	r, failed := w.record(path)
	if r == nil {
		return "", failed
	}
	for n := 1; ; n++ {
		found := base.differences(r)
		if len(found) == 0 {
			return "", failed
		}
		text := found[0].field + ": " + found[0].text
		if f.FoundBy(mutant.Record, text) || found[0].field != recorder.OtherCall || n == attempts || r.recordAgain(path) != nil {
			return text, nil // or the mutant behaves differently each time
		}
	}
}
