//go:build linux

package identity

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/mutant"
	machines "github.com/scm-rights/scm/proof/target"
)

// A fault is built into one backend, for one architecture. The first difference from the other backend must be in
// Field.
type fault struct{ mutant.Fault }

// allMutants returns the faults that the comparison must find.
func allMutants() (list []fault) {
	for _, f := range mutant.By(mutant.Record) {
		list = append(list, fault{f})
	}
	return list
}

// walk returns the walk that reveals the fault.
func (f *fault) walk() walk {
	if f.Sizes {
		return walk{sizes: true}
	}
	return walk{seed: 1, calls: mutantCalls}
}

// backend returns the backend that has the fault.
func (f *fault) backend() string {
	if f.Hits("cgo") {
		return "cgo"
	}
	return "purego"
}

// mutantCalls is a number of calls of a walk that is enough to find every fault.
const mutantCalls = 1024

// mutants tries each fault, and prints the difference that revealed it.
func (p *proof) mutants(faults []fault) error {
	m := mutation{p, map[recordingKey]map[string]healthy{}}
	for i := range faults {
		if err := m.prepare(&faults[i]); err != nil && !errors.Is(err, machines.ErrMissing) {
			return err
		}
	}
	const line = "%-7s %-6s %-46s %s\n"
	p.printf(line, "arch", "in", "fault", "found")
	type outcome struct {
		found string
		err   error
	}
	outcomes := make([]chan outcome, len(faults))
	slots := make(chan struct{}, 2)
	for i := range faults {
		outcomes[i] = make(chan outcome, 1)
		go func() {
			slots <- struct{}{}
			found, err := m.find(&faults[i])
			outcomes[i] <- outcome{found, err}
			<-slots
		}()
	}
	survived, missing := 0, 0
	var failed error
	for i := range faults {
		f, o := &faults[i], <-outcomes[i]
		found := o.found
		switch {
		case errors.Is(o.err, machines.ErrMissing):
			missing++
			found = firstLine(o.err)
		case o.err != nil:
			survived++
			found = "NOT FOUND: " + firstLine(o.err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.What, o.err))
		}
		p.printf(line, f.Arch, f.backend(), f.What, found)
	}
	p.printf("mutants: %d, %d survived, %d not run\n", len(faults), survived, missing)
	switch {
	case failed != nil:
		return failed
	case missing > 0 && os.Getenv("CI") == "true":
		return fmt.Errorf("%d not run, and CI=true", missing)
	}
	return nil
}

// A mutation contains the recordings of the backends without a fault, with which the mutants are compared.
type mutation struct {
	*proof
	healthy map[recordingKey]map[string]healthy
}

type recordingKey struct {
	arch string
	walk walk
}

// healthy is a recording of a backend without a fault.
type healthy struct {
	target
	path      string
	recording *recording
}

// prepare records both backends on the architecture of a fault. It returns an error if the backends
// already differ without a fault, because the mutants would then prove nothing.
func (m *mutation) prepare(f *fault) error {
	f.Arch = cmp.Or(f.Arch, runtime.GOARCH)
	key := recordingKey{f.Arch, f.walk()}
	if m.healthy[key] != nil {
		return nil
	}
	if g := guestFor(f.Arch); g != nil {
		_, err := m.inGuest(g, m.dir, "")
		return err
	}
	both := map[string]healthy{}
	for _, t := range targets() {
		if t.arch != f.Arch || t.libc == "musl" {
			continue
		}
		path, err := t.build(m.root, m.dir, walkPackage, "")
		if err != nil {
			return err
		}
		r, err := key.walk.record(path)
		if err != nil {
			return err
		}
		both[t.backend] = healthy{t, path, r}
	}
	if len(both) < 2 {
		return fmt.Errorf("%w: no %s here", machines.ErrMissing, f.Arch)
	}
	m.healthy[key] = both
	pure, cgo := both["purego"], both["cgo"]
	found, err := pure.recording.against(cgo.recording, pure.path, cgo.path)
	if len(found) > 0 {
		err = fmt.Errorf("without a fault: %v", found[0])
	}
	return err
}

// find returns the first difference that a fault causes.
func (m *mutation) find(f *fault) (string, error) {
	dir, err := os.MkdirTemp(m.dir, "mutant")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return f.Try(mutant.Record, m.root, dir, func(o *mutant.Overlay) (string, error) {
		d, err := m.difference(f, dir, o.Name)
		if d == nil {
			return "", err
		}
		return d.found(), err
	})
}

// found returns the difference in the form of mutant.Record.
func (d *difference) found() string { return d.field + ": " + d.text }

// difference returns the first difference that the overlay of a fault causes, or nil.
func (m *mutation) difference(f *fault, dir, overlay string) (*difference, error) {
	if g := guestFor(f.Arch); g != nil {
		return m.inGuest(g, dir, overlay)
	}
	both := m.healthy[recordingKey{f.Arch, f.walk()}]
	if both == nil {
		return nil, fmt.Errorf("%w: no %s here", machines.ErrMissing, f.Arch)
	}
	base := both["cgo"].recording
	if f.backend() == "cgo" {
		base = both["purego"].recording
	}
	path, err := both[f.backend()].build(m.root, dir, walkPackage, overlay)
	if err != nil {
		return nil, err
	}
	// The fault may make the program fail. Compare the calls recorded up to the failure.
	r, failed := f.walk().record(path)
	if r == nil {
		return nil, failed
	}
	for n := 1; ; n++ {
		found := base.differences(r)
		switch {
		case len(found) == 0:
			return nil, failed
		case f.FoundBy(mutant.Record, found[0].found()) || found[0].field != aCall || n == attempts:
			return &found[0], nil
		}
		if err := r.settle(path); err != nil {
			return &found[0], nil // the mutant behaves differently each time
		}
	}
}

// inGuest returns the first difference found inside an emulated machine. The overlay puts the fault into the cgo
// backend. Without an overlay, a difference is an error.
func (m *mutation) inGuest(g *guest, dir, overlay string) (*difference, error) {
	var r Result
	err := must.Try(func() { g.compare(m.proof, dir, overlay, workload{guest: mutantCalls}, &r) })
	switch {
	case err != nil:
		return nil, err
	case overlay == "" && r.First != "":
		return nil, fmt.Errorf("without a fault: %s", r.First)
	case r.First == "":
		return nil, nil
	}
	return &difference{r.Field, r.First, r.Differ}, nil
}
