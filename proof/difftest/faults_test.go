//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/proof/mutant"
)

// walk runs TestWalk with an overlay, and returns the difference that it found.
func walk(t *testing.T, o *mutant.Overlay) (found string, err error) {
	bin := filepath.Join(t.TempDir(), "difftest.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", bin, "-overlay", o.Name, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^TestWalk$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "SCM_DIFFTEST_CALLS=20000", "SCM_DIFFTEST_SEED=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", nil
	}
	_, found, reported := strings.Cut(string(out), "csrc against pure: ")
	if !reported {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	found, _, _ = strings.Cut(found, "\n")
	return found, nil
}

// TestFaults tests TestWalk, which must find each fault. Faults that neither a result nor the descriptor table shows,
// such as a padding byte or a second close, are for the recorder of system calls.
func TestFaults(t *testing.T) {
	for _, f := range mutant.By(mutant.Walk) {
		if f.Skipped(mutant.Walk) {
			continue
		}
		t.Run(filepath.Dir(f.Edits[0].File)+": "+f.What, func(t *testing.T) {
			found, err := f.Try(mutant.Walk, "../..", t.TempDir(), func(o *mutant.Overlay) (string, error) { return walk(t, o) })
			if err != nil {
				t.Fatal(err)
			}
			t.Log("found: ", found)
		})
	}
}
