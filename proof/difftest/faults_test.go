//go:build cgo && linux && !purego && !scm_purego

package difftest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/scm-rights/scm/proof/mutant"
)

// TestFaults tests TestWalk and TestFault, which must find each fault. Faults that neither a result nor the descriptor
// table shows, such as a padding byte or a second close, are for the recorder of system calls.
func TestFaults(t *testing.T) {
	difference := regexp.MustCompile(`(?s).*csrc against pure: ([^\n]*)|: (\w+ on type \d leaves open [^\n]*)`)
	mutant.TryAll(t, mutant.Walk, mutant.By(mutant.Walk), "../..", func(t *testing.T, _ *mutant.Fault, o *mutant.Overlay) (string, error) {
		bin := filepath.Join(t.TempDir(), "difftest.test")
		build := exec.Command("go", "test", "-c", "-vet=off", "-o", bin, "-overlay", o.Name, ".")
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		cmd := exec.CommandContext(t.Context(), bin, "-test.run=^Test(Walk|Fault)$", "-test.timeout=5m")
		cmd.Env = append(os.Environ(), "SCM_DIFFTEST_CALLS=20000", "SCM_DIFFTEST_SEED=1")
		out, err := cmd.CombinedOutput()
		found := difference.FindSubmatch(out)
		if err != nil && found == nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		} else if err == nil {
			return "", nil
		}
		return string(found[1]) + string(found[2]), nil
	})
}
