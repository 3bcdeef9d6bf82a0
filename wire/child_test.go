//go:build unix && !aix

package wire_test

import (
	"testing"

	. "github.com/onsi/gomega"

	. "github.com/scm-rights/scm/internal/spectest"
)

// Some specs need another program. They start the test binary again, which then runs one of the functions
// named by child instead of the suite.

func TestMain(m *testing.M) { Main(m) }

// child registers a function that ChildCommand runs in a process of its own.
func child(name string, run func(args []string) error) bool {
	return Child(name, func(args []string) { Expect(run(args)).To(Succeed()) })
}
