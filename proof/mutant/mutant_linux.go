package mutant

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// A Fault is put into the sources on purpose, to test the tests. Each kind of test for which it has a field must find
// it.
type Fault struct {
	What  string
	Edits []Edit
	Often Finder // the kinds of test that look for it even without SCM_MUTANTS=full

	Spec string // a spec of the suites that fails
	Row  string // a program of csrc/test, and a row of it that fails
	Walk string // the beginning of the difference that proof/difftest reports, or anything

	// For proof identity.
	Arch  string // the architecture; this machine's if empty
	Field string // the field in which the recordings of the backends first differ
	Words string // part of the text about the difference
	Sizes bool   // only the calls of each size reveal it, not the random ones
}

// A Finder is a kind of test that looks for faults.
type Finder uint

const (
	Specs  Finder = 1 << iota // of the suites
	Rows                      // of csrc's tests
	Walk                      // of proof/difftest
	Record                    // proof identity
)

// wants returns what the finder must find, or "" if it need not find the fault.
func (f *Fault) wants(by Finder) string {
	return map[Finder]string{Specs: f.Spec, Rows: f.Row, Walk: f.Walk, Record: f.Field}[by]
}

// By returns the faults that a finder must find.
func By(by Finder) []Fault {
	all := slices.Concat(paddingFaults(), flagFaults(), faults, guestFaults())
	return slices.DeleteFunc(all, func(f Fault) bool { return f.wants(by) == "" })
}

// Skipped reports whether the finder looks for the fault only with SCM_MUTANTS=full.
func (f *Fault) Skipped(by Finder) bool { return !Full() && f.Often&by == 0 }

// Full reports whether SCM_MUTANTS=full.
func Full() bool { return os.Getenv("SCM_MUTANTS") == "full" }

// Hits reports whether a backend, "cgo" or "purego", has the fault. A fault that is neither in csrc nor in
// internal/pure is in both.
func (f *Fault) Hits(backend string) bool {
	file := f.Edits[0].File
	return (backend == "cgo" || !strings.HasPrefix(file, "csrc/")) && (backend == "purego" || !strings.HasPrefix(file, "internal/pure/"))
}

// ErrNotFound says that nothing has found a fault.
var ErrNotFound = errors.New("not found")

// TryAll tries the faults of a list that the finder looks for, each in a subtest, with Try. It skips those for which
// find returns target.ErrMissing. With CI=true that is an error, and an empty list always is.
func TryAll(t *testing.T, by Finder, list []Fault, root string, find func(*testing.T, *Fault, *Overlay) (string, error)) {
	if len(list) == 0 {
		t.Error("no fault was tried")
	}
	t.Run("faults", func(t *testing.T) {
		for _, f := range list {
			if f.Skipped(by) {
				continue
			}
			t.Run(strings.TrimSpace(f.Arch+" "+filepath.Dir(f.Edits[0].File)+": "+f.What), func(t *testing.T) {
				t.Parallel()
				found, err := f.Try(by, root, t.TempDir(), func(o *Overlay) (string, error) { return find(t, &f, o) })
				switch {
				case errors.Is(err, target.ErrMissing):
					fdtest.Missing(t, "what finds a fault", err.Error())
				case err != nil:
					t.Fatal(err)
				}
				t.Log("found: ", found)
			})
		}
	})
}

// Try puts the fault into copies of files below root, in the folder dir, and calls find, which builds and runs the
// test. find returns what it has found, or "". For Record this is the field, ": " and the text about the difference.
// Try returns the same, and an error unless it is what the finder must find.
func (f *Fault) Try(by Finder, root, dir string, find func(*Overlay) (found string, err error)) (string, error) {
	var o *Overlay
	if err := must.Try(func() { o = f.overlay(root, dir) }); err != nil {
		return "", err
	}
	found, err := find(o)
	switch {
	case err != nil:
		return found, err
	case found == "":
		return "", ErrNotFound
	case !f.FoundBy(by, found):
		return found, fmt.Errorf("found, but not as %q %s: %s", f.wants(by), f.Words, found)
	}
	return found, nil
}

// FoundBy reports whether the finder has found what it must.
func (f *Fault) FoundBy(by Finder, found string) bool {
	switch by {
	case Specs, Rows:
		return found == f.wants(by)
	case Walk:
		return f.Walk == anything || strings.HasPrefix(found, f.Walk)
	case Record:
		text, ok := strings.CutPrefix(found, f.Field+": ")
		return ok && strings.Contains(text, f.Words)
	}
	return strings.Contains(found, f.wants(by))
}

// An Edit replaces the only occurrence of Old in a file. The file's name is relative to the root.
type Edit struct{ File, Old, New string }

// An Overlay holds copies of files that have been changed.
type Overlay struct {
	Name    string            `json:"-"` // of the file for go build -overlay
	Replace map[string]string // the copy of each file
}

func (f *Fault) overlay(root, dir string) *Overlay {
	root = must.Get(filepath.Abs(root))
	texts := map[string]string{}
	for _, e := range f.Edits {
		file := filepath.Join(root, e.File)
		if _, ok := texts[file]; !ok {
			texts[file] = string(must.Get(os.ReadFile(file)))
		}
		if n := strings.Count(texts[file], e.Old); n != 1 {
			must.Failf("%q occurs %d times in %s, not once", e.Old, n, e.File)
		}
		texts[file] = strings.Replace(texts[file], e.Old, e.New, 1)
	}
	o := &Overlay{filepath.Join(dir, "overlay.json"), map[string]string{}}
	for file, text := range texts {
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", len(o.Replace), filepath.Base(file)))
		must.OK(os.WriteFile(changed, []byte(text), 0o600))
		o.Replace[file] = changed
	}
	must.OK(os.WriteFile(o.Name, must.Get(json.Marshal(o)), 0o600))
	return o
}
