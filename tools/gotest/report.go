package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An event is a line of the output of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// A run describes one test that go test ran, or a whole package if its key does not name a test.
type run struct {
	start  time.Time
	output strings.Builder
	parent bool // it has subtests, which are counted instead of it
	failed bool // one of its tests or subtests failed
}

// A suite collects the results and the output of all tests in a package.
type suite struct {
	passed int
	reason string // why the first test was skipped
	output strings.Builder
}

type key struct{ pkg, test string }

// A report reads events, prints the interesting ones, and counts tests.
type report struct {
	*part
	w, log io.Writer
	// filtered is true if only some specs were requested. Ginkgo counts the others as skipped.
	filtered bool
	beat     func(text string) // takes the list of the running tests; may be nil
	runs     map[key]*run
	suites   map[string]*suite
	start    time.Time
	// running contains the tests and packages that have started but not ended.
	running map[key]bool
}

func newReport(name string, w, log io.Writer) *report {
	return &report{part: &part{Name: name}, w: w, log: log, start: time.Now(), runs: map[key]*run{}, suites: map[string]*suite{}, running: map[key]bool{}}
}

// ginkgo is the summary of a suite, and ginkgoRed a failed spec in it.
var (
	ginkgo    = regexp.MustCompile(`(\d+) Passed \| (\d+) Failed \| (\d+) Pending \| (\d+) Skipped`)
	ginkgoRed = regexp.MustCompile(`(?m)^  \[(?:FAIL|PANICKED!|TIMEDOUT|INTERRUPTED|ABORTED)\] (.*)$`)
)

// colour matches the escape sequences that Ginkgo prints to change colours. Ginkgo 2.16 uses colours even if
// its output is not a terminal.
var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// read reads all events.
func (r *report) read(events io.Reader) (err error) {
	for in := bufio.NewReader(events); err == nil; {
		var line []byte
		if line, err = in.ReadBytes('\n'); err == nil {
			r.event(line)
		}
	}
	r.failUnfinished("")
	for _, s := range r.suites {
		r.print(r.log, s.output.String())
	}
	if err == io.EOF {
		err = nil
	}
	return err
}

func (r *report) print(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func (r *report) at(pkg, test string) *run {
	k := key{pkg, test}
	if r.runs[k] == nil {
		r.runs[k] = &run{start: time.Now()}
	}
	return r.runs[k]
}

func (r *report) suite(pkg string) *suite {
	if r.suites[pkg] == nil {
		r.suites[pkg] = new(suite)
	}
	return r.suites[pkg]
}

// parent returns the name of a subtest's parent, or "".
func parent(test string) string {
	return test[:max(strings.LastIndexByte(test, '/'), 0)]
}

func (r *report) event(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		r.print(io.MultiWriter(r.w, r.log), string(line))
		return
	}
	switch e.Action {
	case "build-output":
		r.print(io.MultiWriter(r.w, r.log), e.Output)
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME
			text := colour.ReplaceAllString(e.Output, "")
			r.at(e.Package, e.Test).output.WriteString(text)
			r.suite(e.Package).output.WriteString(text)
		}
	case "start", "run":
		r.at(e.Package, e.Test)
		r.running[key{e.Package, e.Test}] = true
		if p := parent(e.Test); p != "" {
			r.at(e.Package, p).parent = true
		}
		r.listRunning()
	case "pass", "fail", "skip":
		if e.Test != "" {
			r.test(e.Action, key{e.Package, e.Test})
		} else {
			r.pkg(e)
		}
		r.listRunning()
	}
}

// pkg counts and prints a package that ended.
func (r *report) pkg(e event) {
	p, s := r.at(e.Package, ""), r.suite(e.Package)
	delete(r.running, key{e.Package, ""})
	// There is no end event for a test that was running when the process died.
	r.failUnfinished(e.Package)
	if e.Action == "fail" && !p.failed {
		r.print(r.w, p.output.String())
		if e.FailedBuild != "" {
			r.fail(shorten(e.Package) + " does not build")
		} else {
			r.fail(shorten(e.Package) + " failed outside its tests")
		}
	}
	word, after := map[string]string{"fail": "FAIL", "pass": "ok  "}[e.Action], ""
	if e.Action == "pass" && s.passed == 0 {
		word, after = "skip", ": no test ran: "+s.reason
		if s.reason == "" { // a filter that matches nothing, or a TestMain that ends too early
			word, after = "FAIL", ": no test ran"
			r.fail(shorten(e.Package) + " ran no test")
		}
	}
	if word != "" { // else there are no test files
		fmt.Fprintf(r.w, "%s  %s  %.1f s%s\n", word, e.Package, e.Elapsed, after)
	}
	r.print(r.log, s.output.String())
	delete(r.suites, e.Package)
}

// failUnfinished counts each test that has not ended as failed, in one package or, if pkg is "", in all.
func (r *report) failUnfinished(pkg string) {
	left := slices.DeleteFunc(slices.Collect(maps.Keys(r.running)), func(k key) bool { return pkg != "" && k.pkg != pkg })
	// Handle subtests first, because the parent of a failed subtest is not counted.
	slices.SortFunc(left, func(a, b key) int { return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(b.test, a.test)) })
	for _, k := range left {
		fmt.Fprintf(r.w, "%s did not end\n", strings.TrimSpace(k.pkg+" "+k.test))
		r.test("fail", k)
	}
}

// test counts and prints a test that ended.
func (r *report) test(action string, k key) {
	t, s := r.at(k.pkg, k.test), r.suite(k.pkg)
	delete(r.running, k)
	output := t.output.String()
	name := strings.TrimSpace(shorten(k.pkg) + " " + k.test)
	specs := ginkgo.FindStringSubmatch(output)
	if action == "skip" {
		reason := skipReason(output)
		fmt.Fprintf(r.w, "skip  %s %s: %s\n", k.pkg, k.test, reason)
		s.because(reason)
	} else {
		for line := range strings.Lines(output) {
			_, reason, left := strings.Cut(line, "skip: ")
			if left {
				s.because(strings.TrimSpace(reason))
			}
			if specs != nil || action == "fail" || left {
				r.print(r.w, line)
			}
		}
	}
	switch {
	case specs != nil:
		n := func(i int) int { n, _ := strconv.Atoi(specs[i]); return n }
		r.Passed, s.passed = r.Passed+n(1), s.passed+n(1)
		if !r.filtered {
			r.Skipped += n(3) + n(4)
		}
		red := ginkgoRed.FindAllStringSubmatch(output, -1)
		for _, m := range red {
			r.Red = append(r.Red, name+": "+m[1])
		}
		r.Failed += n(2)
		if action == "fail" && n(2) == 0 { // a hook, for example
			r.Failed++
		}
		if action == "fail" && len(red) == 0 {
			r.Red = append(r.Red, name)
		}
	case action == "skip":
		r.Skipped++
	case action == "fail":
		if !t.failed { // otherwise the subtest was counted
			r.fail(name)
		}
	case !t.parent:
		r.Passed, s.passed = r.Passed+1, s.passed+1
	}
	if action == "fail" {
		for _, above := range []string{parent(k.test), ""} {
			r.at(k.pkg, above).failed = true
		}
	}
}

func (s *suite) because(reason string) {
	if s.reason == "" {
		s.reason = reason
	}
}

// logged matches the beginning of a message that a test logs.
var logged = regexp.MustCompile(`^ *[^ :]+\.go:\d+: `)

// skipReason returns the first line of the last message that the test logged, which is the message of Skip. Earlier
// messages may contain, for example, the output of a compiler.
func skipReason(output string) (reason string) {
	for line := range strings.Lines(output) {
		if at := logged.FindStringIndex(line); at != nil {
			reason = line[at[1]:]
		} else if reason == "" && !strings.Contains(line, "--- SKIP") {
			reason = line
		}
	}
	return strings.TrimSpace(reason)
}

// listRunning passes to beat the tests that have been running for the longest time. While the go command compiles, no
// test is running, and listRunning passes the name of the part instead.
func (r *report) listRunning() {
	if r.beat == nil {
		return
	}
	busy := map[string]bool{} // packages
	for k := range r.running {
		busy[k.pkg] = busy[k.pkg] || k.test != ""
	}
	list := slices.DeleteFunc(slices.Collect(maps.Keys(r.running)), func(k key) bool {
		return r.runs[k].parent || k.test == "" && busy[k.pkg]
	})
	slices.SortFunc(list, func(a, b key) int { return r.runs[a].start.Compare(r.runs[b].start) })
	var text strings.Builder
	const most = 3
	for i, k := range list[:min(len(list), most+1)] {
		name := strings.TrimSpace(shorten(k.pkg) + " " + k.test)
		if i == most {
			name = fmt.Sprintf("and %d more", len(list)-most)
		}
		fmt.Fprintf(&text, "%d %s: %s\n", r.runs[k].start.Unix(), r.Name, name)
	}
	if len(list) == 0 {
		fmt.Fprintf(&text, "%d %s\n", r.start.Unix(), r.Name)
	}
	r.beat(text.String())
}
