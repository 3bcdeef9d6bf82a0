//go:build linux

package identity

import (
	"errors"
	"os"
	"testing"

	"github.com/scm-rights/scm/proof/must"
	machines "github.com/scm-rights/scm/proof/target"
)

// The records of a run of difftest contain what it has compared and what is missing, whatever it prints.
func TestRunDifftest(t *testing.T) {
	for _, c := range []struct {
		name, records string
		want          int
		missing       bool
	}{
		{"compares", `{"kind":"calls","name":"TestWalk","count":12}`, 12, false},
		{"lacks something", `{"kind":"lacks","name":"TestWalk","missing":"kcmp"}`, 0, true},
		{"records nothing", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			script := "#!/bin/sh\necho '--- SKIP: TestOther'\necho 'difftest: 34 calls, 0 differ'\n" +
				"[ -z '" + c.records + "' ] || echo '" + c.records + "' >\"$SCM_RECORDS/1.json\"\n"
			name := t.TempDir() + "/difftest"
			if err := os.WriteFile(name, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			got := 0
			err := must.Try(func() { got = runDifftest(name, t.TempDir(), 100) })
			if got != c.want || (err == nil) != (c.want > 0) || errors.Is(err, machines.ErrMissing) != c.missing {
				t.Errorf("got %d calls, %v", got, err)
			}
		})
	}
}
