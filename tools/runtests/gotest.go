//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// A test is a Go test, a spec or a case of a C program, with its result.
type test struct {
	Package string   `json:"package,omitempty"`
	Name    string   `json:"name"`
	State   string   `json:"state"` // passed, failed or skipped
	Why     string   `json:"why,omitempty"`
	Missing string   `json:"missing,omitempty"` // what the machine lacks
	Labels  []string `json:"labels,omitempty"`
	Seconds float64  `json:"seconds"`
	Again   string   `json:"again,omitempty"` // the command that runs it again

	result *scenario.Result // of a case of the catalogue
}

// The states of a test.
const (
	passed  = testrecord.Passed
	failed  = testrecord.Failed
	skipped = testrecord.Skipped
)

// suiteTest is the test that runs a Ginkgo suite. If there are records, the specs are counted instead of this test.
const suiteTest = "TestSuite"

// An event is a line of go test -json, which go doc test2json describes.
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// A goTest is what go test reports about a test that has begun.
type goTest struct {
	state   string // the last action, such as run
	seconds float64
	output  tail
}

// A goPackage is what go test and the records report about a package.
type goPackage struct {
	name    string
	tests   map[string]*goTest // "" is the package itself
	order   []string
	records []testrecord.Record
	suite   bool   // it has a Ginkgo suite
	rank    int    // which of the patterns of the part it matches
	last    string // the test that ended last
	log     bytes.Buffer
}

func (p *goPackage) at(name string) *goTest {
	if p.tests[name] == nil {
		p.tests[name] = &goTest{}
		p.order = append(p.order, name)
	}
	return p.tests[name]
}

// A tail keeps the beginning and the end of an output, as many lines as a failure shows.
type tail struct {
	first, last []string
	left        int // lines between them
}

func (t *tail) add(line string) {
	if len(t.first) < report.FailureLines/2 {
		t.first = append(t.first, line)
		return
	}
	if t.last = append(t.last, line); len(t.last) > report.FailureLines/2 {
		t.last, t.left = t.last[1:], t.left+1
	}
}

func (t *tail) String() string {
	middle := ""
	if t.left > 0 {
		middle = "… " + display.Plural(t.left, "more line") + "\n"
	}
	return strings.TrimRight(strings.Join(t.first, "")+middle+strings.Join(t.last, ""), "\n")
}

// A marker is a line in the output that repeats what another event reports.
var marker = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) `)

// take adds an event to the package.
func (p *goPackage) take(e event) {
	if strings.HasPrefix(e.Test, suiteTest+"/") { // a spec, which has a record
		if e.Test = suiteTest; e.Action != "output" {
			return
		}
	}
	t := p.at(e.Test)
	switch e.Action {
	case "output":
		if !marker.MatchString(e.Output) {
			t.output.add(e.Output)
		}
	case "start", "run":
		t.state = e.Action
	case "pass", "fail", "skip":
		if t.state != "run" && t.state != "start" && e.Test != "" {
			return // a program that the test runs printed it
		}
		t.state, t.seconds, p.last = e.Action, e.Elapsed, e.Test
	}
}

// ended returns how many tests and specs of the package have ended.
func (p *goPackage) ended() (n int) {
	for name, t := range p.tests {
		if name != "" && t.state != "run" {
			n++
		}
	}
	for _, r := range p.records {
		if r.Kind == testrecord.Spec {
			n++
		}
	}
	return n
}

// results returns the results of the package. If the run was interrupted, tests that did not end are not counted,
// because no events or records are read after that.
func (p *goPackage) results(limit time.Duration, interrupted bool) (all []test) {
	lacks := map[string]testrecord.Record{}
	specs, began, dry, ended := map[string]testrecord.Record{}, false, false, false
	var order []string
	for _, r := range p.records {
		switch r.Kind {
		case testrecord.Begin:
			began, dry = true, dry || r.DryRun
		case testrecord.End:
			ended = true
		case testrecord.Lacks:
			lacks[r.Name] = r
		case testrecord.Spec, testrecord.Node:
			if _, again := specs[r.Name]; !again {
				order = append(order, r.Name)
			}
			specs[r.Name] = r
		}
	}
	add := func(t test) {
		t.Package = p.name
		if l, ok := lacks[t.Name]; ok && t.State == skipped {
			t.Missing = l.Missing
		}
		all = append(all, t)
	}
	fail := func(name, why string, seconds float64) {
		if !interrupted {
			add(test{Name: name, State: failed, Why: why, Seconds: seconds})
		}
	}
	whole, notEnded := p.tests[""], "it did not end"
	if whole != nil && whole.state == "fail" && whole.seconds >= limit.Seconds() {
		notEnded = fmt.Sprintf("it reached the time limit of %v", limit)
	}
	if !interrupted && p.last != "" {
		// The package has no final event. If a program ends in the middle of a test, the final event of the package
		// names the test.
		p.tests[p.last].state = "run"
	}
	if !dry {
		for _, name := range order {
			add(specResult(specs[name]))
		}
	}
	if began && ended && !dry && len(order) == 0 {
		fail(suiteTest, "the suite ran no spec", 0)
	}
	if p.suite && !ended && (p.tests[suiteTest] != nil || whole != nil && whole.state == "pass") {
		why := "the suite did not run to its end"
		if t := p.tests[suiteTest]; t != nil && t.state == "run" {
			why = notEnded
		}
		fail(suiteTest, why+"\n"+p.output(), 0)
	}
	for _, name := range p.order {
		t := p.tests[name]
		child, redChild := false, false // go test prints them after their parent
		for other, o := range p.tests {
			is := name != "" && strings.HasPrefix(other, name+"/")
			child, redChild = child || is, redChild || is && (o.state == "fail" || o.state == "run")
		}
		isSuite := name == suiteTest && (began || p.suite)
		switch {
		case name == "", redChild:
		case isSuite && (t.state == "pass" || slices.ContainsFunc(all, isFailed)):
		case t.state == "run":
			fail(name, notEnded+"\n"+p.output(), 0)
		case t.state == "fail":
			add(test{Name: name, State: failed, Why: t.output.String(), Seconds: t.seconds})
		case t.state == "pass" && !child:
			add(test{Name: name, State: passed, Seconds: t.seconds})
		case t.state == "skip":
			add(test{Name: name, State: skipped, Why: t.output.String(), Seconds: t.seconds})
		}
	}
	switch {
	case interrupted || slices.ContainsFunc(all, isFailed):
	case whole == nil || whole.state == "start" || whole.state == "":
		fail("", "it did not end\n"+p.output(), 0)
	case whole.state == "fail":
		fail("", "it failed outside its tests\n"+p.output(), whole.seconds)
	case dry:
		fail("", "nothing ran: it was a dry run", 0)
	case len(all) == 0:
		fail("", "it ran no test", 0)
	}
	return all
}

// output returns what the package printed outside its tests and in those that did not end.
func (p *goPackage) output() string {
	var out []string
	for _, name := range p.order {
		if t := p.tests[name]; name == "" || t.state == "run" || name == suiteTest {
			out = append(out, t.output.String())
		}
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

func isFailed(t test) bool { return t.State == failed }

// specResult returns the result of a spec, or of a node of the suite.
func specResult(r testrecord.Record) test {
	t := test{Name: cmp.Or(r.Name, suiteTest), State: testrecord.Outcome(r.State), Why: r.Why, Missing: r.Missing, Labels: r.Labels, Seconds: r.Seconds}
	if r.State == "timedout" {
		t.Why = "it reached its time limit\n" + t.Why
	}
	if len(r.Case) > 0 {
		var result scenario.Result
		if err := json.Unmarshal(r.Case, &result); err == nil {
			t.result = &result
		}
	}
	return t
}
