//go:build linux

package wire_test

import (
	"testing"

	. "github.com/onsi/gomega"

	. "github.com/scm-rights/scm/internal/spectest"
)

// Some programs start one of ours: the test binary again, which is then a child by name and no suite.

func TestMain(m *testing.M) { Main(m) }

// child names a function that ChildCommand runs in a process of its own.
func child(name string, run func(args []string) error) bool {
	return Child(name, func(args []string) { Expect(run(args)).To(Succeed()) })
}
