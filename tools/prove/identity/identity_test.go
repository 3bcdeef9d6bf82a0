//go:build linux && !purego

package identity

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/mutant"
	"github.com/scm-rights/scm/internal/recorder"
)

// make identity and make identity-mutants do the whole of this. Calls in one
// process are left to the tests of internal/difftest.
var brief = sizes{recorded: 1 << 10, golden: []string{runtime.GOARCH}}

func TestMain(m *testing.M) {
	recorder.Main()
	os.Exit(m.Run())
}

// logged is what a proof prints, line by line in the test's log.
type logged struct{ t *testing.T }

func (l logged) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// brieflyProve skips what cannot be done here. In CI that is an error, but for
// other architectures and libcs: make identity wants those.
func brieflyProve(t *testing.T, what func(*proof) error) {
	t.Helper()
	if testing.Short() {
		t.Skip("programs are built and recorded")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the recorder is not for programs of " + runtime.GOARCH + " beside those of the compiler")
	}
	for _, target := range targets()[:2] {
		if err := target.compiles(); err != nil {
			fdtest.Missing(t, err.Error())
		}
	}
	t.Chdir("../../..")
	p, err := newProof(".", logged{t})
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	err = what(p)
	var forbidden *recorder.ForbiddenError
	switch {
	case errors.As(err, &forbidden):
		fdtest.Missing(t, err.Error())
	case err != nil:
		t.Fatal(err)
	}
}

func TestBackends(t *testing.T) {
	brieflyProve(t, func(p *proof) error { return p.backends(brief) })
}

func TestOriginals(t *testing.T) {
	brieflyProve(t, func(p *proof) error {
		err := p.originals()
		if err == nil && p.missing > 0 {
			fdtest.Missing(t, fmt.Sprintf("%d originals or peers are missing", p.missing))
		}
		return err
	})
}

func TestMutants(t *testing.T) {
	brieflyProve(t, func(p *proof) error {
		return p.mutants(slices.DeleteFunc(allMutants(), func(f fault) bool { return f.Often&mutant.Record == 0 }))
	})
}

// TestMutantsHaveAPlace puts each fault into copies of the sources, also those that
// make identity-mutants runs alone.
func TestMutantsHaveAPlace(t *testing.T) {
	for _, f := range allMutants() {
		if _, err := mutant.Overlay("../../..", t.TempDir(), f.Edits...); err != nil {
			t.Errorf("%s: %v", f.What, err)
		}
	}
}

// docs/identity.md says how many there are.
func TestMutantsAreCounted(t *testing.T) {
	text, err := os.ReadFile("../../../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("introduces %d faults", len(allMutants())); !strings.Contains(string(text), want) {
		t.Errorf("docs/identity.md does not say that it %s", want)
	}
}

// A row too few and a row too many are both found.
func TestDepartures(t *testing.T) {
	brieflyProve(t, func(p *proof) error {
		commands, why := p.commands()
		o := originals[slices.IndexFunc(originals, func(o original) bool { return o.theirs == "book" })]
		ours := o.ours[0]
		if text := why[o.theirs] + why[ours]; text != "" {
			fdtest.Missing(t, text)
		}
		rows, err := departures(p.root, o.heading)
		if err != nil {
			return err
		}
		for i, row := range rows {
			r := reading{rows: slices.Delete(slices.Clone(rows), i, i+1)}
			if err := r.all(&o, commands[o.theirs], commands[ours]); err != nil {
				return err
			}
			if len(r.wrong()) == 0 {
				t.Errorf("not missed: %s", row.text)
			}
		}
		r := reading{rows: append(rows,
			&departure{text: "a case that is not"},
			&departure{text: "`sendmsg`: `flags`", fields: fieldsOf("`sendmsg`: `flags`"), theirs: "0", ours: "MSG_NOSIGNAL"})}
		if err := r.all(&o, commands[o.theirs], commands[ours]); err != nil {
			return err
		}
		if wrong := r.wrong(); len(wrong) != 2 {
			t.Errorf("two rows too many, and found: %v", wrong)
		}
		return nil
	})
}
