package fdtest

import (
	"os"
	"testing"
)

// Missing ends a test for which the machine lacks something: with CI=true the test
// fails, otherwise it is skipped. It prints the reason.
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + ", and CI=true")
	}
	t.Skip(reason)
}

// AloneVariable is set in the environment of a suite of package scm that a test runs: it
// runs the specs of the Go API, and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
