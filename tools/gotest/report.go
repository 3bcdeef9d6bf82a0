package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// An event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type total struct{ passed, failed, skipped int }

// A run is a test, or a package (with an empty test), while it runs.
type run struct {
	output strings.Builder
	parent bool // it has subtests, which are counted in its place
	ended  bool
	failed bool // a package: a test of it failed
}

// ginkgo is the summary of a suite: its specs are counted in place of the test that hooks it up.
var ginkgo = regexp.MustCompile(`(\d+) Passed \| (\d+) Failed \| (\d+) Pending \| (\d+) Skipped`)

type key struct{ pkg, test string }

// report reads the events, writes what a reader wants to know of them, and counts.
func report(events io.Reader, w io.Writer) (t total, err error) {
	runs := map[key]*run{}
	for in := bufio.NewReader(events); err == nil; {
		var line []byte
		if line, err = in.ReadBytes('\n'); err == nil {
			t.event(line, runs, w)
		}
	}
	t.cut(runs, "", w)
	if err == io.EOF {
		err = nil
	}
	return t, err
}

func (t *total) event(line []byte, runs map[key]*run, w io.Writer) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		w.Write(line)
		return
	}
	at := func(test string) *run {
		k := key{e.Package, test}
		if runs[k] == nil {
			runs[k] = new(run)
		}
		return runs[k]
	}
	switch e.Action {
	case "build-output":
		io.WriteString(w, e.Output)
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME
			at(e.Test).output.WriteString(e.Output)
		}
	case "start":
		at("")
	case "run":
		at(e.Test)
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			at(e.Test[:i]).parent = true
		}
	case "pass", "fail", "skip":
		r := at(e.Test)
		r.ended = true
		if e.Test != "" {
			t.test(e.Action, r, w)
			at("").failed = at("").failed || e.Action == "fail"
			return
		}
		// What a process was at when it died has no end of its own.
		r.failed = t.cut(runs, e.Package, w) || r.failed
		if e.Action == "fail" && !r.failed { // it does not build, or dies
			io.WriteString(w, r.output.String())
			t.failed++
		}
		if word := map[string]string{"fail": "FAIL", "pass": "ok  "}[e.Action]; word != "" {
			fmt.Fprintf(w, "%s  %s  %.1f s\n", word, e.Package, e.Elapsed)
		}
	}
}

// cut counts what has not ended, of one package or of all, as failed.
func (t *total) cut(runs map[key]*run, pkg string, w io.Writer) (found bool) {
	for k, r := range runs {
		if k.pkg != "" && !r.ended && (pkg == "" || k.pkg == pkg) {
			fmt.Fprintf(w, "%s %s did not end\n", k.pkg, k.test)
			t.test("fail", r, w)
			r.ended, found = true, true
		}
	}
	return found
}

// test counts a test that ended.
func (t *total) test(action string, r *run, w io.Writer) {
	output := r.output.String()
	specs := ginkgo.FindStringSubmatch(output)
	for line := range strings.Lines(output) {
		if specs != nil || action != "pass" || strings.Contains(line, "skip: ") { // a part that was left out
			io.WriteString(w, line)
		}
	}
	n := func(i int) int { n, _ := strconv.Atoi(specs[i]); return n }
	switch {
	case specs != nil:
		t.passed += n(1)
		t.failed += n(2)
		t.skipped += n(3) + n(4)
		if action == "fail" && n(2) == 0 {
			t.failed++ // a leak gate, say: the suite failed and no spec did
		}
	case action == "skip":
		t.skipped++
	case r.parent:
	case action == "fail":
		t.failed++
	default:
		t.passed++
	}
}
