//go:build linux

package scm_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

var _ = ReportBeforeSuite(func(Report) {
	fmt.Printf("The suite runs over %s, with %s. With -ginkgo.label-filter=nix it runs the specs with nix.\n",
		scm.Backend, cmp.Or(strings.Join(chosen(), ", "), "no partner"))
})

// chosen returns the names of the peers that the label filter leaves in.
func chosen() []string {
	matches := types.MustParseLabelFilter(GinkgoLabelFilter())
	return slices.DeleteFunc(append(slices.Clone(partners), scenario.RunnerName), func(name string) bool {
		return !matches([]string{"catalogue", name})
	})
}

// writeEnd prints what ran with each peer, unless it has.
var writeEnd = func() {}

var _ = ReportAfterSuite("specs per peer", func(r Report) {
	cases, specs := casesOf(r)
	switch write := func() { writeCases(os.Stdout, cases, specs) }; {
	case r.SuiteConfig.DryRun:
	case r.SuiteConfig.ParallelTotal > 1: // Ginkgo does not print what a process writes later
		write()
	default:
		writeEnd = sync.OnceFunc(write)
	}
	if err := lacksSpecs(r, cases); err != nil {
		Fail(err.Error())
	}
})

// lacksSpecs returns an error if specs that should have run did not. After an interrupt or a failure, it returns nil.
func lacksSpecs(r Report, cases *report.Report) error {
	switch {
	case r.SuiteConfig.DryRun || !r.SuiteSucceeded:
		return nil
	case isAlone():
		if len(cases.NotAsked) > 0 && r.SpecReports.WithLeafNodeType(types.NodeTypeIt).CountWithState(types.SpecStatePassed) == 0 {
			return fmt.Errorf("no spec ran: those with a peer need %s to be unset", fdtest.AloneVariable)
		}
	case os.Getenv(peers.PartnersVariable) != "" || os.Getenv("CI") == "true":
		return ranWithPartners(cases)
	}
	return nil
}

// ranWithPartners returns an error if no case ran with a partner, or with one that was built. It ignores the partners
// whose cases a filter left out.
func ranWithPartners(cases *report.Report) error {
	some, missing := false, false
	for _, name := range partners {
		_, chosen := cases.NotAsked[name]
		ran := cases.Asked[name].Verdicts > 0
		if chosen && !ran && !slices.ContainsFunc(cases.Asked[name].NotAsked, isMissing) {
			return fmt.Errorf("no spec ran with %s", name)
		}
		some, missing = some || ran, missing || chosen && !ran
	}
	if missing && !some {
		return errors.New("no spec ran with a partner in C or Rust or with the other backend")
	}
	return nil
}

// isMissing reports whether cases did not run because their partner could not be built. See fdtest.Missing.
func isMissing(n scenario.NotAsked) bool { return strings.HasPrefix(string(n.Reason), "missing: ") }

var _ = It("the suite says what it runs, and what ran with each partner", func() {
	ended := runSuite(untilItsEnd, []string{fdtest.AloneVariable + "=1"}, "-ginkgo.label-filter=nix")
	Expect(ended.output).To(MatchRegexp(`(?m)^The suite runs over \w+, with nix\. `))
	Expect(ended.output).To(MatchRegexp(`(?m)^nix: no case has a verdict; not built, because SCM_TEST_ALONE is set\.$`))
	Expect(ended.output).NotTo(ContainSubstring("book: "))
})

var _ = It("without partners, the suite fails if a filter selects only cases", func() {
	suite := func(focus string) endedSuite {
		return runSuite(untilItsEnd, []string{fdtest.AloneVariable + "=1"}, "-ginkgo.focus="+focus)
	}
	cases, sentence := "catalogue runs basics/pass-one-fd/.*/nix", "no spec ran: those with a peer need SCM_TEST_ALONE to be unset"
	only, others := suite(cases), suite(cases+"|applies to a case")
	Expect(only.err).To(MatchError("exit status 1"))
	Expect(only.output).To(ContainSubstring(sentence))
	Expect(others.err).NotTo(HaveOccurred(), others.output)
})

var _ = It("cases of a peer that have no verdict are counted by their reason", func() {
	spec := func(state types.SpecState, why string) SpecReport {
		return SpecReport{State: state, LeafNodeLabels: []string{"catalogue", "book"}, Failure: types.Failure{Message: why}}
	}
	cases, _ := casesOf(Report{SpecReports: types.SpecReports{
		spec(types.SpecStatePanicked, "nil"), spec(types.SpecStateSkipped, "book: no iov"), spec(types.SpecStateSkipped, "no root\nhere"), spec(types.SpecStateSkipped, ""),
	}})
	Expect(cases.Asked["book"].String()).To(Equal("no verdict in 4 of its 4 cases: not selected (1), nil (1), no iov (1), no root (1)"))
})

var _ = DescribeTable("the suite needs a partner if make test has built them,", func(first, others string, passes bool) {
	cases := &report.Report{Asked: map[string]scenario.Asked{}, NotAsked: map[string]string{}}
	states := map[string]string{partners[0]: first}
	for _, name := range partners {
		var asked scenario.Asked
		switch state := cmp.Or(states[name], others); state {
		case "left out":
			continue
		case "ran":
			asked.Verdicts = 1
		default:
			asked.Count(scenario.NotAsked{Reason: scenario.Reason(state), Cases: 1})
		}
		cases.Asked[name], cases.NotAsked[name] = asked, ""
	}
	Expect(ranWithPartners(cases) == nil).To(Equal(passes))
},
	Entry("and passes if one ran", "ran", "missing: cargo: none", true),
	Entry("and fails if one that was built did not run", "no iov", "ran", false),
	Entry("and fails without one", "left out", "missing: cargo: none", false),
	Entry("and passes if a filter leaves them out", "left out", "left out", true),
)
