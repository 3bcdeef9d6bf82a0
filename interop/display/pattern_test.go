package display

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// againVariable is set in the process that TestPattern starts.
const againVariable = "SCM_TEST_AGAIN"

// In a shell, Pattern selects one test, whatever its name.
func TestPattern(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(runtime.GOOS+":", err)
	}
	for _, name := range []string{"Bob's library", "$(a) [b]|c.d/\\", "d"} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(againVariable) != "" {
				return
			}
			cmd := exec.Command("sh", "-c", os.Args[0]+" -test.v -test.run '"+Pattern(t.Name())+"'")
			cmd.Env = append(os.Environ(), againVariable+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), "=== RUN ") != 2 || !strings.Contains(string(out), "PASS: "+t.Name()+" ") {
				t.Errorf("%v, and %s did not run alone:\n%s", err, t.Name(), out)
			}
		})
	}
}
