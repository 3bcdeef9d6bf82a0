//go:build linux

package scm_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/builtin"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/process"
)

func TestMain(m *testing.M) {
	process.Main()
	builtin.Main()
	Main(m, func() { writeEnd() })
}

func TestSuite(t *testing.T) {
	if err := load(); err != nil {
		t.Fatal(err) // in a container node, Ginkgo would advise against assertions there
	}
	passed := Run(t, "scm over "+scm.Backend, "catalogue")
	if !passed && !printsAll() {
		_ = flag.Set("test.run", "^TestSuite$") // the examples would print, panic or hang after the causes
		if !testing.Verbose() {
			return // package testing lists the specs that failed when this test ends, and the causes follow
		}
	}
	writeEnd() // after Ginkgo's summary, so that the causes are among the last lines
}

// Each process of the suite checks for leaks.
var _ = BeforeSuite(gate)

// alone is the reason why specs with a peer are skipped if isAlone.
const alone = "not built, because " + fdtest.AloneVariable + " is set"

func isAlone() bool { return os.Getenv(fdtest.AloneVariable) != "" }

var specFailed bool

var _ = ReportAfterEach(func(s SpecReport) { specFailed = specFailed || s.Failed() })

// gate fails the suite if all specs passed but goroutines or descriptors that the suite created are left.
func gate() {
	descriptors := fdtest.Take()
	goroutines := gleak.Goroutines()
	starter := gleak.IgnoringTopFunction("github.com/scm-rights/scm/interop/process.serveStarter") // of peers
	DeferCleanup(func() {
		if specFailed {
			return // it may have left some
		}
		Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines, starter))
		Eventually(func() []string {
			left := descriptors.NewSince()
			if config, _ := GinkgoConfiguration(); config.ParallelTotal > 1 {
				// Ginkgo reads the output of the processes through pipes, which it replaces.
				left = slices.DeleteFunc(left, func(s string) bool { return strings.Contains(s, " pipe:") })
			}
			return left
		}).Should(BeEmpty(), "descriptors left open by the suite")
	})
}
