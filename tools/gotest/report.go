package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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

// report reads the events, writes what a reader wants to know of them, and counts. Every 15 seconds it names what runs.
func report(events io.Reader, w io.Writer) (t total, err error) {
	type key struct{ pkg, test string }
	runs := make(map[key]*run)
	at := func(pkg, test string) *run {
		k := key{pkg, test}
		if runs[k] == nil {
			runs[k] = new(run)
		}
		return runs[k]
	}

	lines := make(chan []byte)
	go func() {
		defer close(lines)
		for in := bufio.NewReader(events); err == nil; {
			var line []byte
			if line, err = in.ReadBytes('\n'); err == nil {
				lines <- line
			}
		}
	}()
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		var line []byte
		select {
		case line = <-lines:
		case <-tick.C:
			var running []string
			for k, r := range runs {
				if k.pkg != "" && k.test != "" && !r.ended && !r.parent {
					running = append(running, path.Base(k.pkg)+" "+k.test)
				}
			}
			slices.Sort(running)
			fmt.Fprintf(w, "… %s\n", cmp.Or(strings.Join(running, ", "), "building"))
			continue
		}
		if line == nil { // the end
			for k, r := range runs {
				if k.pkg != "" && !r.ended {
					fmt.Fprintf(w, "%s %s did not end\n", k.pkg, k.test)
					t.test(event{Action: "fail", Test: k.test}, r, w)
				}
			}
			if err == io.EOF {
				err = nil
			}
			return t, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			w.Write(line)
			continue
		}
		r := at(e.Package, e.Test)
		switch e.Action {
		case "build-output":
			io.WriteString(w, e.Output)
		case "output":
			if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME
				r.output.WriteString(e.Output)
			}
		case "run":
			if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
				at(e.Package, e.Test[:i]).parent = true
			}
		case "pass", "fail", "skip":
			r.ended = true
			if e.Test != "" {
				t.test(e, r, w)
				at(e.Package, "").failed = at(e.Package, "").failed || e.Action == "fail"
				break
			}
			// What a process was at when it died has no end of its own.
			for k, cut := range runs {
				if k.pkg == e.Package && !cut.ended {
					t.test(event{Action: "fail", Test: k.test}, cut, w)
					r.failed, cut.ended = true, true
				}
			}
			t.pkg(e, r, w)
		}
	}
}

// test counts a test that ended.
func (t *total) test(e event, r *run, w io.Writer) {
	output := r.output.String()
	if specs := ginkgo.FindStringSubmatch(output); specs != nil {
		io.WriteString(w, output)
		n := func(i int) int { n, _ := strconv.Atoi(specs[i]); return n }
		t.passed += n(1)
		t.failed += n(2)
		t.skipped += n(3) + n(4)
		if e.Action == "fail" && n(2) == 0 {
			t.failed++ // a leak gate, say: the suite failed and no spec did
		}
		return
	}
	switch {
	case e.Action == "fail":
		io.WriteString(w, output)
		if !r.parent {
			t.failed++
		}
	case e.Action == "skip":
		io.WriteString(w, output)
		t.skipped++
	default:
		for line := range strings.Lines(output) { // a part that was left out
			if strings.Contains(line, "skip: ") {
				io.WriteString(w, line)
			}
		}
		if !r.parent {
			t.passed++
		}
	}
}

// pkg ends a package: one that fails though none of its tests did (it does not build, it dies) counts as one.
func (t *total) pkg(e event, r *run, w io.Writer) {
	switch e.Action {
	case "fail":
		if !r.failed {
			io.WriteString(w, r.output.String())
			t.failed++
		}
		fmt.Fprintf(w, "FAIL  %s  %.1f s\n", e.Package, e.Elapsed)
	case "pass":
		fmt.Fprintf(w, "ok    %s  %.1f s\n", e.Package, e.Elapsed)
	}
}
