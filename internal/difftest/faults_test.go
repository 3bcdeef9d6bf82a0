//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/mutant"
)

// faults returns the faults that the walk has to find. Faults that neither a result nor the descriptor table
// shows, such as a padding byte or a second close, are for the recorder of system calls.
func faults() (list []mutant.Fault) {
	for _, f := range mutant.Faults {
		if f.Walk != "" {
			list = append(list, f)
		}
	}
	return list
}

// walk runs TestWalk with an overlay.
func walk(t *testing.T, overlay string) (output string, err error) {
	bin := filepath.Join(t.TempDir(), "difftest.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", bin, "-overlay", overlay, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-test.run=^TestWalk$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), "SCM_DIFFTEST_CALLS=20000", "SCM_DIFFTEST_SEED=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestMutantsHaveAPlace puts each fault into copies of the sources, including the faults that run only with
// SCM_MUTANTS=full.
func TestMutantsHaveAPlace(t *testing.T) {
	for _, f := range faults() {
		if _, err := mutant.Overlay("../..", t.TempDir(), f.Edits...); err != nil {
			t.Errorf("%s: %v", f.What, err)
		}
	}
}

// TestFaults tests TestWalk, which must find each fault.
func TestFaults(t *testing.T) {
	for _, f := range faults() {
		if f.Often&mutant.Walk == 0 && os.Getenv("SCM_MUTANTS") != "full" {
			continue
		}
		t.Run(filepath.Dir(f.Edits[0].File)+": "+f.What, func(t *testing.T) {
			overlay, err := mutant.Overlay("../..", t.TempDir(), f.Edits...)
			if err != nil {
				t.Fatal(err)
			}
			out, err := walk(t, overlay)
			if err == nil {
				t.Fatal("not found")
			}
			_, words, found := strings.Cut(out, "csrc against pure: ")
			if !found || f.Walk != mutant.Anything && !strings.HasPrefix(words, f.Walk) {
				t.Fatalf("found, but not by %q\n%s", f.Walk, out)
			}
			words, _, _ = strings.Cut(words, "\n")
			t.Log("found: ", words)
		})
	}
}
