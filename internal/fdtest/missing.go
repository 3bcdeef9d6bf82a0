package fdtest

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/testrecord"
)

var (
	notFound = regexp.MustCompile(`.*exec: "(.*)": executable file not found in \$PATH`)
	notThere = regexp.MustCompile(`^no (C compiler|[^ ,]+).* in PATH`)
)

// Missing ends a test that needs something the machine does not have. With CI=true the test fails, otherwise it
// is skipped, and Missing records why.
func Missing(t testing.TB, reason string) {
	t.Helper()
	reason = notFound.ReplaceAllString(reason, "no $1 in PATH")
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + ", and CI=true")
	}
	Lacks(t, reason)
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
func Lacks(t testing.TB, reason string) {
	t.Helper()
	missing, _, _ := strings.Cut(reason, "\n")
	if m := notThere.FindStringSubmatch(missing); m != nil {
		missing = m[1]
	}
	if err := testrecord.Write(testrecord.Record{Kind: testrecord.Lacks, Name: t.Name(), Missing: missing}); err != nil {
		t.Fatal(err)
	}
}

// Limit returns the time limit d multiplied by $SLOW, as tools/runtests does with the time limit of a package.
func Limit(d time.Duration) time.Duration {
	slow, _ := strconv.Atoi(os.Getenv("SLOW"))
	return d * time.Duration(max(slow, 1))
}

// AloneVariable is an environment variable. If it is set, the suite of package scm runs the specs of the Go API
// and builds no peers.
const AloneVariable = "SCM_TEST_ALONE"
