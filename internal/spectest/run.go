//go:build unix && !aix

package spectest

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/scm-rights/scm/interop/display"
)

// Run runs the suite, as Ginkgo's RunSpecs does, and reports whether it passed. It prints the reasons for which specs
// were skipped, except those with one of the labels. Each spec that runs is a subtest, so that the flags of go test and
// programs that read go test -json know the specs. With ginkgo -p, each process has subtests for its own specs. The
// suite cannot have an AfterSuite, but DeferCleanup in BeforeSuite. If -run leaves out the last spec of an ordered
// container, AfterAll does not run.
func Run(t *testing.T, name string, labels ...string) bool {
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	reporter.NoColor = true // Ginkgo prints colors even if a program reads them
	m := mirror{t: t}
	if !suite.DryRun {
		// These nodes are in no container and the last ones there. So BeforeEach precedes each BeforeAll, and ReportAfterEach
		// follows all others, which can fail a spec.
		ginkgo.ReportBeforeEach(m.begin)
		ginkgo.BeforeEach(m.leaveOut)
		ginkgo.ReportAfterEach(m.ended)
		ginkgo.AfterSuite(m.end) // what follows may look for goroutines that are left
	}
	ginkgo.ReportAfterSuite("specs", func(r ginkgo.Report) {
		printSkips(r, labels)
		if r.PreRunStats.SpecsThatWillRun == 0 {
			ginkgo.Fail("no spec matches the filter")
		}
	})
	passed := ginkgo.RunSpecs(t, name, suite, reporter)
	m.end() // an interrupt can keep AfterSuite from running
	if passed && !m.ran {
		t.Skip("no spec ran")
	}
	return passed
}

// A mirror makes a subtest for each spec. The subtest ends when the next one begins, or with the suite, because Ginkgo
// prints a failure after the nodes of the spec.
type mirror struct {
	t      *testing.T
	ran    bool                     // a subtest has begun
	report chan<- ginkgo.SpecReport // to the subtest, or nil if none runs
	done   <-chan struct{}          // the subtest has ended
	last   ginkgo.SpecReport        // of the spec of the subtest
	skips  skips
}

// begin begins a subtest, unless a filter of Ginkgo leaves out its spec. If -run, -skip or -failfast leaves it out,
// T.Run does not call the function.
func (m *mirror) begin(s ginkgo.SpecReport) {
	m.end()
	if !Ran(s) {
		return
	}
	began, report, done := make(chan bool, 2), make(chan ginkgo.SpecReport), make(chan struct{})
	go func() {
		defer close(done)
		m.t.Run(s.FullText(), func(t *testing.T) {
			began <- true
			result(t, <-report)
		})
		began <- false
	}()
	if <-began {
		m.ran, m.report, m.done = true, report, done
	}
}

// leftOut is the reason that Ginkgo gives to specs that a filter leaves out.
const leftOut = ""

// leaveOut skips a spec that has no subtest.
func (m *mirror) leaveOut() {
	if m.report == nil {
		ginkgo.Skip(leftOut)
	}
}

func (m *mirror) ended(s ginkgo.SpecReport) {
	s.Failure.Message = m.skips.reason(s)
	m.last = s
}

// end ends the subtest that runs, if any.
func (m *mirror) end() {
	if m.report != nil {
		m.report <- m.last
		<-m.done
		m.report = nil
	}
}

// Ran reports whether a spec ran, or skipped itself: no filter left it out.
func Ran(s ginkgo.SpecReport) bool {
	return s.State != types.SpecStateSkipped || s.Failure.Message != leftOut
}

// result ends a subtest as its spec has ended. Ginkgo has printed why it failed.
func result(t *testing.T, s ginkgo.SpecReport) {
	switch {
	case s.Failed():
		t.Error("to run it again: " + again(t.Name()))
	case s.State.Is(types.SpecStateSkipped | types.SpecStatePending):
		t.Skip(s.Failure.Message)
	}
}

// Again returns the command that runs a spec again.
func Again(name string) string { return again("TestSuite/" + strings.ReplaceAll(name, " ", "_")) }

// again returns the command that runs a test again, from a directory of its module. go test would not notice that the
// code of a program that the test builds has changed.
func again(test string) string {
	command := "go test -count=1"
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		switch s.Key {
		case "-tags", "-race":
			command += " " + s.Key + "=" + s.Value
		}
	}
	return command + " " + strings.TrimSuffix(info.Path, ".test") + " -run '" + display.Pattern(test) + "'"
}
