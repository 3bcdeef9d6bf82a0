//go:build unix && !aix

package wire_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
)

// TestMain runs a child that a spec has started, or the suite.
func TestMain(m *testing.M) { Main(m) }

func TestSuite(t *testing.T) {
	Run(t, "wire over "+scm.Backend)
}

// At the end of the suite, the same goroutines run and the same descriptors are open as at its beginning.
var _ = BeforeSuite(func() {
	descriptors := fdtest.Take()
	goroutines := gleak.Goroutines()
	DeferCleanup(func() {
		Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines))
		left := descriptors.NewSince()
		if config, _ := GinkgoConfiguration(); config.ParallelTotal > 1 {
			// Ginkgo reads the output of its processes from pipes, which it replaces now and then.
			left = slices.DeleteFunc(left, func(s string) bool { return strings.Contains(s, " pipe:") })
		}
		Expect(left).To(BeEmpty(), "descriptors left open by the suite")
	})
})
