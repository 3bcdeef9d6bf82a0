//go:build linux

package wire_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestSuite(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "wire over "+scm.Backend)
}

// The suite ends with the goroutines and open descriptors that it began with.
var _ = BeforeSuite(func() {
	descriptors := fdtest.Take()
	goroutines := gleak.Goroutines()
	DeferCleanup(func() {
		Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(goroutines))
		left := descriptors.NewSince()
		if config, _ := GinkgoConfiguration(); config.ParallelTotal > 1 {
			// Ginkgo reads the processes' output by pipes, and renews them.
			left = slices.DeleteFunc(left, func(s string) bool { return strings.Contains(s, " pipe:") })
		}
		Expect(left).To(BeEmpty(), "descriptors left open by the suite")
	})
})

// What was skipped is printed with its reason, each reason once.
var _ = ReportAfterSuite("skips", func(report Report) {
	count := map[string]int{}
	for _, spec := range report.SpecReports {
		if reason := spec.Failure.Message; spec.State.Is(types.SpecStateSkipped) && reason != "" {
			count[strings.TrimSpace(reason)]++
		}
	}
	for reason, n := range count {
		fmt.Printf("\nskip: %d specs: %s", n, reason)
	}
})
