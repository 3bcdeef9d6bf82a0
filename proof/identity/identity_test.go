//go:build linux && !purego && !scm_purego

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
	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/proof/must"
)

// brief is a small part of what make proof-identity compares. The tests of proof/difftest compare the
// backends in one process.
var brief = workload{recorded: 1 << 10, golden: []string{runtime.GOARCH}}

func TestMain(m *testing.M) {
	recorder.Main()
	os.Exit(m.Run())
}

// A logWriter writes to the log of a test.
type logWriter struct{ t *testing.T }

func (l logWriter) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// brieflyProve runs a part of the proof, or skips the test if this machine lacks a tool for it. In CI
// that is an error, except for other architectures and libcs, which only TestBackends and make proof-identity require.
func brieflyProve(t *testing.T, part func(*proof)) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs and records them")
	}
	if !recorder.Supported() {
		t.Skip("the recorder does not support programs of " + runtime.GOARCH)
	}
	for _, target := range targets()[:2] {
		if err := target.compiles(); err != nil {
			fdtest.Missing(t, fdtest.Compiler, err.Error())
		}
	}
	t.Chdir("../..")
	p := newProof(".", logWriter{t})
	defer p.end()
	err := must.Try(func() { part(p) })
	var forbidden *recorder.ForbiddenError
	switch {
	case errors.As(err, &forbidden):
		fdtest.Missing(t, "ptrace", err.Error())
	case err != nil:
		t.Fatal(err)
	}
}

// With CI=true, the test records as many calls as make proof-identity.
func TestBackends(t *testing.T) {
	w := brief
	if os.Getenv("CI") == "true" {
		w.recorded = full.recorded
	}
	brieflyProve(t, func(p *proof) {
		p.backends(w)
		p.isWhole()
	})
}

func TestOriginals(t *testing.T) {
	brieflyProve(t, func(p *proof) {
		p.originals()
		if p.missing > 0 {
			fdtest.Missing(t, "originals", fmt.Sprintf("%d originals or peers are missing", p.missing))
		}
	})
}

// The comparison finds a row that is missing, a row that is superfluous, and calls that are missing.
func TestDepartures(t *testing.T) {
	brieflyProve(t, func(p *proof) {
		commands, why := p.buildPeers()
		o := originals[slices.IndexFunc(originals, func(o original) bool { return o.theirs == "book" })]
		ours := o.ours[0]
		if text := why[o.theirs] + why[ours]; text != "" {
			fdtest.Missing(t, "originals", text)
		}
		rows, allowed := o.departures(p.root)
		performances := must.Get(o.perform(commands[o.theirs], commands[ours]))
		for i, row := range rows {
			if a := newAudit(slices.Delete(slices.Clone(rows), i, i+1), allowed, performances); len(a.wrong()) == 0 {
				t.Errorf("not noticed that this row is missing: %s", row.text)
			}
		}
		for i, line := range allowed {
			if a := newAudit(rows, slices.Delete(slices.Clone(allowed), i, i+1), performances); len(a.wrong()) != 1 {
				t.Errorf("without the --allow line %s: %v", line, a.wrong())
			}
		}
		superfluous := []*departure{
			{text: "a scene that does not exist"},
			{text: "`sendmsg`: `flags`", fields: fieldsOf("`sendmsg`: `flags`"), theirs: "0", ours: "MSG_NOSIGNAL"},
		}
		a := newAudit(append(rows, superfluous...), append(allowed, "sendmsg: flags: 0 against MSG_NOSIGNAL"), performances)
		if wrong := a.wrong(); len(wrong) != 3 {
			t.Errorf("with two superfluous rows and a superfluous line, found: %v", wrong)
		}
		// The departure does not show on this type of socket, so the calls must be the same.
		last := performances[len(performances)-1]
		last.scm.outcome, last.scm.calls = last.original.outcome, nil
		if a := newAudit(rows, allowed, performances); len(a.undocumented) != 2 {
			t.Errorf("without a call of scm, found: %v", a.undocumented)
		}
	})
}
