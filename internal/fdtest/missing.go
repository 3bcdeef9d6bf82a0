package fdtest

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
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

// Limit returns the time limit d multiplied by $SLOW, as tools/part.sh multiplies that of a package.
func Limit(d time.Duration) time.Duration {
	slow, _ := strconv.Atoi(os.Getenv("SLOW"))
	return d * time.Duration(max(slow, 1))
}

// AloneVariable is an environment variable. If it is set, the suite of package scm runs the specs of the Go API
// and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
