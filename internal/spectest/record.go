//go:build unix && !aix

package spectest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/scm-rights/scm/internal/testrecord"
)

// CaseEntry is the name of the report entry with the result of a case of the catalogue.
const CaseEntry = "transcript"

// A suite that imports this package records its specs for tools/runtests. With ginkgo -p, each process records the
// specs that it runs, and the first one also the beginning, the failed nodes and the end of the suite.
func init() {
	if !testrecord.Writes() {
		return
	}
	all := records{states: map[string]types.SpecState{}, names: map[string]int{}}
	ginkgo.ReportBeforeSuite(func(r ginkgo.Report) {
		all.write(testrecord.Record{Kind: testrecord.Begin, Planned: r.PreRunStats.SpecsThatWillRun, DryRun: r.SuiteConfig.DryRun})
	})
	ginkgo.ReportAfterEach(all.ended)
	ginkgo.ReportAfterSuite("records", all.suiteEnded)
}

// records is what the suite has recorded.
type records struct {
	states map[string]types.SpecState // of the specs that have ended, by their unique names
	names  map[string]int             // how many of them have the same name
	failed bool                       // whether a spec or node has failed
	reason string                     // for which the last spec was skipped
	broken bool
}

// write writes a record, and fails the spec or the suite if it cannot be written. Later specs do not fail for this.
func (all *records) write(r testrecord.Record) {
	ginkgo.GinkgoHelper()
	if err := testrecord.Write(r); err != nil && !all.broken {
		all.broken = true
		ginkgo.Fail(err.Error())
	}
}

// Ran reports whether a spec ran, or skipped itself: no filter left it out.
func Ran(s ginkgo.SpecReport) bool {
	return s.State != types.SpecStateSkipped || s.Failure.Message != ""
}

// WasReported reports whether an interrupt arrived while Ginkgo was reporting a spec. Ginkgo then counts the spec as
// interrupted, even if a filter left it out.
func WasReported(s ginkgo.SpecReport) bool {
	return s.State.Is(types.SpecStateInterrupted|types.SpecStateAborted) &&
		s.Failure.FailureNodeType.Is(types.NodeTypeReportBeforeEach|types.NodeTypeReportAfterEach)
}

// ended records a spec. In a dry run, Ginkgo reports each spec as passed.
func (all *records) ended(s ginkgo.SpecReport) {
	r := all.recordOf(s)
	all.states[r.Name] = s.State
	if config, _ := ginkgo.GinkgoConfiguration(); !config.DryRun && Ran(s) && !WasReported(s) {
		all.write(r)
	}
}

// recordOf returns the record of a spec. It must be called in the order in which they ended.
func (all *records) recordOf(s ginkgo.SpecReport) testrecord.Record {
	r := testrecord.Record{Kind: testrecord.Spec, Name: s.FullText(), State: s.State.String(), Labels: s.Labels(), Seconds: s.RunTime.Seconds()}
	all.failed = all.failed || s.Failed()
	if all.names[r.Name]++; all.names[r.Name] > 1 {
		r.Name += fmt.Sprint(" #", all.names[r.Name])
	}
	r.Why = Why(s)
	if s.State == types.SpecStateSkipped {
		if strings.HasPrefix(r.Why, skippedByFirst) {
			r.Why = all.reason
		}
		all.reason = r.Why
	}
	for _, e := range s.ReportEntries {
		if e.Name != CaseEntry {
			continue
		}
		var err error
		if r.Case, err = json.Marshal(e.GetRawValue()); err != nil {
			ginkgo.Fail("the result of a case: " + err.Error())
		}
	}
	return r
}

// Title returns the name of a spec, or of a node of the suite.
func Title(s ginkgo.SpecReport) string {
	if s.LeafNodeType == types.NodeTypeIt {
		return s.FullText()
	}
	return strings.TrimSpace(fmt.Sprintf("[%v] %s", s.LeafNodeType, s.LeafNodeText))
}

// Why returns the reason of a skip, or the message of a failure and its place. If the spec hung or panicked, this is a
// part of its stack.
func Why(s ginkgo.SpecReport) string {
	if !s.Failed() {
		return strings.TrimSpace(s.Failure.Message)
	}
	text := whyFailed(s.Failure)
	if others := len(s.AdditionalFailures); others > 0 {
		text += fmt.Sprintf("\n%s followed, which -ginkgo.v prints.", Count(others, "more failure"))
	}
	return text
}

// stackLines limits the lines of a stack.
const stackLines = 15

func whyFailed(f types.Failure) string {
	place := f.Location.String()
	if f.ForwardedPanic != "" {
		f.Message += ": " + f.ForwardedPanic
		lines := strings.Split(f.Location.FullStackTrace, "\n")
		place = strings.Join(lines[:min(len(lines), stackLines)], "\n")
	}
	text := strings.TrimSpace(f.Message) + "\n" + place
	if more := f.AdditionalFailure; more != nil { // the spec did not hang
		return text + "\n" + whyFailed(more.Failure)
	}
	stack := f.ProgressReport.SpecGoroutine().Stack
	for _, call := range stack[:min(len(stack), stackLines/2)] {
		text += fmt.Sprintf("\n%s\n\t%s:%d", call.Function, call.Filename, call.Line)
	}
	return text
}

// suiteEnded records failures outside of specs, and specs that changed after they ended, because a later
// ReportAfterEach can fail a spec.
func (all *records) suiteEnded(r ginkgo.Report) {
	later := records{names: map[string]int{}}
	for _, s := range r.SpecReports {
		switch {
		case s.LeafNodeType != types.NodeTypeIt:
			if s.Failed() {
				all.failed = true
				all.write(testrecord.Record{Kind: testrecord.Node, Name: Title(s), State: s.State.String(), Why: Why(s)})
			}
		case r.SuiteConfig.ParallelTotal == 1: // other processes have recorded their specs themselves
			record := later.recordOf(s)
			if before, ended := all.states[record.Name]; (!ended || before != s.State) && Ran(s) && !WasReported(s) {
				all.write(record)
			}
		}
	}
	all.failed = all.failed || later.failed
	if reasons := strings.Join(r.SpecialSuiteFailureReasons, ", "); reasons != "" && !all.failed {
		all.write(testrecord.Record{Kind: testrecord.Node, Name: "the suite", State: types.SpecStateFailed.String(), Why: reasons})
	}
	all.write(testrecord.Record{Kind: testrecord.End})
}
