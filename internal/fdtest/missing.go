package fdtest

import (
	"os"
	"regexp"
	"testing"
)

var notFound = regexp.MustCompile(`.*exec: "(.*)": executable file not found in \$PATH`)

// Missing ends a test that needs something the machine does not have. With CI=true the test fails, otherwise it
// is skipped. Missing prints the reason, in the form that tools/gotest reads.
func Missing(t testing.TB, reason string) {
	t.Helper()
	reason = notFound.ReplaceAllString(reason, "no $1 in PATH")
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + ", and CI=true")
	}
	t.Skip("missing: " + reason)
}

// AloneVariable is an environment variable. If it is set, the suite of package scm runs the specs of the Go API
// and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
