package fdtest

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/testrecord"
)

// Compiler is how records call a missing C compiler, whatever its name is.
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
// otherwise it is skipped, and Missing records what is missing.
func Missing(t testing.TB, what, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + ", and CI=true")
	}
	Lacks(t, what)
	t.Skip("missing: " + reason)
}

// NeedRoot skips a test if the user is not root, even with CI=true. what describes the action that needs root.
func NeedRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "root")
		t.Skip("only root can " + what)
	}
}

// Lacks records that a test is about to be skipped, and what is missing on the machine.
func Lacks(t testing.TB, what string) {
	t.Helper()
	Must(t, testrecord.Write(testrecord.Record{Kind: testrecord.Lacks, Name: t.Name(), Missing: what}))
}

// Limit returns the time limit d, multiplied by N if SLOW=N is set, as it should be on a slow machine.
func Limit(d time.Duration) time.Duration {
	slow, _ := strconv.Atoi(os.Getenv("SLOW"))
	return d * time.Duration(max(slow, 1))
}

// AloneVariable is an environment variable. If it is set, the suite of package scm runs the specs of the Go API
// and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
