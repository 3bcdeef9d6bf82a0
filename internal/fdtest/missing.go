package fdtest

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Compiler is how Missing calls a C compiler, whatever its name is.
const Compiler = "C compiler"

// Program returns the path of a program. If it is not in PATH, Missing ends the test.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	what := name
	if name == "cc" || name == "gcc" {
		what = Compiler
	}
	Missing(t, what, "no "+name+" in PATH")
	return ""
}

// Missing ends a test that needs something the machine does not have, for a reason. With CI=true the test fails,
// otherwise it is skipped.
func Missing(t testing.TB, what, reason string) {
	t.Helper()
	text := "missing: " + what + ": " + reason
	if os.Getenv("CI") == "true" {
		t.Fatal(text + ", and CI=true")
	}
	t.Skip(text)
}

// NeedRoot skips a test if the user is not root, even with CI=true. what describes the action that needs root.
func NeedRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root: only root can " + what)
	}
}

// Limit returns the time limit d, multiplied by N if SLOW=N is set, as it should be on a slow machine.
func Limit(d time.Duration) time.Duration {
	slow, _ := strconv.Atoi(os.Getenv("SLOW"))
	return d * time.Duration(max(slow, 1))
}

// AloneVariable is an environment variable. If it is set, the suite of package scm runs the specs of the Go API
// and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
