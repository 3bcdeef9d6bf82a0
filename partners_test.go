//go:build linux

package scm_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	. "github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/scenario"
)

var _ = ReportBeforeSuite(func(r Report) {
	fmt.Printf("%s over %s, with %s. -ginkgo.v prints each (go test -v does not), and -ginkgo.label-filter=nix runs those with nix.\n",
		Count(r.PreRunStats.SpecsThatWillRun, "spec"), scm.Backend, cmp.Or(strings.Join(chosen(), ", "), "no partner"))
})

// chosen returns the names of the peers that the label filter leaves in.
func chosen() []string {
	matches := types.MustParseLabelFilter(GinkgoLabelFilter())
	return slices.DeleteFunc(append(slices.Clone(partners), scenario.RunnerName), func(name string) bool {
		return !matches([]string{"catalogue", name})
	})
}

// A tally counts the specs with a peer: those that passed or failed, those that a filter left out and, by reason, those
// that skipped themselves.
type tally struct {
	built                   bool
	passed, failed, leftOut int
	skipped                 map[string]int
}

// String returns the line that the suite prints about the peer.
func (t *tally) String() string {
	total, reasons := 0, []string(nil)
	for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
		total += t.skipped[why]
		reasons = append(reasons, fmt.Sprintf("%d %s", t.skipped[why], why))
	}
	text := fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, total)
	if total > 0 {
		text += " (" + strings.Join(reasons, "; ") + ")"
	}
	return text
}

var _ = ReportAfterSuite("specs per peer", func(r Report) {
	for _, s := range r.SpecReports {
		show(s) // a node of the suite, or a spec that another ReportAfterEach failed
	}
	tallies := tallySpecs(r)
	if !r.SuiteConfig.DryRun {
		PrintSkips(r, append(slices.Clone(partners), scenario.RunnerName)...) // writePartners says why those were skipped
		writeCauses(r)
		writePartners(tallies)
	}
	writeEnd(r)
	if err := lacksSpecs(r, tallies); err != nil {
		if explained = true; page != nil {
			fmt.Println(err)
		}
		Fail(err.Error())
	}
})

// writeEnd prints the last line, unless Ginkgo does.
func writeEnd(r Report) {
	chosen, specs := r.PreRunStats.SpecsThatWillRun, r.SpecReports.WithLeafNodeType(types.NodeTypeIt)
	if r.SuiteConfig.DryRun {
		fmt.Printf("nothing ran: this is a dry run of %d of %d specs\n", chosen, len(specs))
		return
	}
	if page == nil {
		return
	}
	passes, fails, skips := 0, 0, 0
	for _, s := range specs {
		switch {
		case s.State == types.SpecStatePassed:
			passes++
		case s.State.Is(types.SpecStateFailed | types.SpecStatePanicked | types.SpecStateTimedout):
			fails++
		case s.State == types.SpecStateSkipped && s.FailureMessage() != "":
			skips++
		}
	}
	text := fmt.Sprintf("%d passed, %d failed, %d skipped of %s", passes, fails, skips, Count(chosen, "spec"))
	if reasons := strings.Join(r.SpecialSuiteFailureReasons, ", "); reasons != "" {
		text, explained = reasons+": "+text, true
	}
	fmt.Printf("%s in %.1f seconds\n", text, r.RunTime.Seconds())
}

// lacksSpecs returns an error if specs that should have run did not. After an interrupt, it returns nil.
func lacksSpecs(r Report, tallies map[string]*tally) error {
	switch {
	case r.PreRunStats.SpecsThatWillRun == 0:
		return errors.New("no spec matches the filter")
	case r.SuiteConfig.DryRun || len(r.SpecialSuiteFailureReasons) > 0 || os.Getenv(fdtest.AloneVariable) != "":
		return nil
	case os.Getenv(peers.PartnersVariable) != "" || os.Getenv("CI") == "true":
		return ranWithPartners(tallies)
	}
	return nil
}

// tallySpecs counts the specs with each peer.
func tallySpecs(r Report) map[string]*tally {
	tallies := map[string]*tally{}
	for name, peer := range peerNamed {
		tallies[name] = &tally{built: peer.Why == "", skipped: map[string]int{}}
	}
	for _, s := range r.SpecReports {
		for _, label := range s.Labels() {
			t := tallies[label]
			if t == nil {
				continue
			}
			why, _, _ := strings.Cut(s.FailureMessage(), "\n")
			switch {
			case s.State == types.SpecStatePassed:
				t.passed++
			case s.State.Is(types.SpecStateInterrupted | types.SpecStateAborted):
			case s.State != types.SpecStateSkipped:
				t.failed++
			case why == "":
				t.leftOut++
			default:
				t.skipped[strings.TrimPrefix(why, label+": ")]++
			}
		}
	}
	return tallies
}

// writePartners prints a line for each peer, unless a filter left out its specs.
func writePartners(tallies map[string]*tally) {
	for _, name := range append(slices.Clone(partners), scenario.RunnerName) {
		if t := tallies[name]; t.passed+t.failed+len(t.skipped) > 0 {
			fmt.Printf("specs over %s with %s: %v\n", scm.Backend, name, t)
		}
	}
}

// ranWithPartners returns an error if no spec ran with a partner, or with one that was built, unless a filter left
// these specs out.
func ranWithPartners(tallies map[string]*tally) error {
	some, filtered := false, true
	for _, name := range partners {
		t := tallies[name]
		some = some || t.passed+t.failed > 0
		filtered = filtered && t.leftOut > 0 && len(t.skipped) == 0
		if t.built && t.passed+t.failed+t.leftOut == 0 {
			return fmt.Errorf("no spec ran with %s", name)
		}
	}
	if !some && !filtered {
		return errors.New("no spec ran with a partner in C or Rust or with the other backend")
	}
	return nil
}

var _ = It("the suite says what it runs, and what ran with each partner", func() {
	ended := runSuite(untilItsEnd, []string{fdtest.AloneVariable + "=1"}, "-ginkgo.label-filter=nix")
	Expect(ended.err).NotTo(HaveOccurred(), ended.output)
	Expect(ended.output).To(MatchRegexp(`(?m)^\d+ specs over \w+, with nix\. -ginkgo\.v prints each`))
	Expect(ended.output).To(MatchRegexp(`(?m)^specs over \w+ with nix: 0 passed, 0 failed, \d+ skipped \(\d+ not built yet\)\n0 passed, 0 failed, \d+ skipped of `))
	Expect(ended.output).NotTo(ContainSubstring("with book"))
})

var _ = It("the suite says that it failed outside its specs", func() {
	ended := runSuite(untilItsEnd, []string{fdtest.AloneVariable + "=1"}, "-ginkgo.label-filter=nix", "-ginkgo.junit-report=/proc/none/report.xml")
	Expect(ended.err).To(HaveOccurred())
	Expect(ended.output).To(ContainSubstring("\nThe suite failed after its specs, perhaps because a report could not be written. -ginkgo.v prints why.\n"))
})

var _ = It("the suite fails if its filter matches no spec", func() {
	ended := runSuite(untilItsEnd, []string{fdtest.AloneVariable + "=1"}, "-ginkgo.label-filter=nxi")
	Expect(ended.err).To(HaveOccurred())
	Expect(ended.output).To(ContainSubstring("\nno spec matches the filter\n"))
	Expect(ended.output).NotTo(ContainSubstring("perhaps because a report"))
})

var _ = It("specs with a partner are counted as passed, failed or skipped", func() {
	spec := func(state types.SpecState, why string) types.SpecReport {
		return types.SpecReport{State: state, LeafNodeLabels: []string{"catalogue", "book"}, Failure: types.Failure{Message: why}}
	}
	tallies := tallySpecs(Report{SpecReports: types.SpecReports{
		spec(types.SpecStatePassed, ""), spec(types.SpecStatePassed, ""), spec(types.SpecStateFailed, "wrong"), spec(types.SpecStatePanicked, "nil"),
		spec(types.SpecStateSkipped, "book: no iov"), spec(types.SpecStateSkipped, "no root\nhere"), spec(types.SpecStateSkipped, ""),
	}})
	Expect(tallies["book"].String()).To(Equal("2 passed, 2 failed, 2 skipped (1 no iov; 1 no root)"))
})

var _ = DescribeTable("the suite needs a partner if make test has built them,", func(first, others tally, passes bool) {
	tallies := map[string]*tally{}
	for _, name := range partners {
		tallies[name] = &others
	}
	tallies[partners[0]] = &first
	Expect(ranWithPartners(tallies) == nil).To(Equal(passes))
},
	Entry("and passes if one ran", tally{built: true, passed: 1}, tally{skipped: map[string]int{"not built": 1}}, true),
	Entry("and fails if one that was built did not run", tally{built: true}, tally{built: true, passed: 1}, false),
	Entry("and fails without one", tally{}, tally{leftOut: 1, skipped: map[string]int{"not built": 1}}, false),
	Entry("and passes if a filter leaves them out", tally{built: true, leftOut: 1}, tally{leftOut: 1}, true),
)
