package difftest

import (
	"os"
	"testing"
)

// missing ends a test for which the machine lacks something: where CI is true it
// fails, elsewhere it is skipped, and says why.
func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
