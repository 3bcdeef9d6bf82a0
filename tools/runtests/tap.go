//go:build linux

package main

import (
	"regexp"
	"slices"
	"strings"
)

// A tapReader reads test results from the output of make. It contains TAP streams, each of which begins with a version
// and ends with a plan. Each program is a test in a stream, and its cases are a subtest.
type tapReader struct {
	tests   []test
	open    bool   // a stream has begun
	cases   []test // of the program
	program string // in the comment that begins its cases
	noise   tail   // comments, and the output of make
}

var tapLine = regexp.MustCompile(`^(    )?(not )?ok(?: \d+)?(?: - )?(.*?)(?: # (.*))?$`)

func (r *tapReader) take(line string) {
	if line == "TAP version 14" {
		r.end()
		r.open = true
		return
	}
	if !r.open {
		r.noise.add(line + "\n")
		return
	}
	if name, ok := strings.CutPrefix(line, "# Subtest: "); ok {
		r.program, r.cases, r.noise = name, nil, tail{}
		return
	}
	if strings.HasPrefix(line, "1..") {
		r.open, r.noise = false, tail{}
		return
	}
	m := tapLine.FindStringSubmatch(line)
	if m == nil {
		if text := strings.TrimSpace(line); strings.HasPrefix(text, "#") {
			r.noise.add(strings.TrimPrefix(text[1:], " ") + "\n")
		}
		return
	}
	t := test{Package: "csrc", Name: m[3], State: passed, Why: m[4]}
	if why, skip := strings.CutPrefix(m[4], "SKIP "); skip {
		t.State, t.Why = skipped, why
		if missing, ok := strings.CutPrefix(why, "missing: "); ok {
			t.Missing = missing
		}
	} else if m[2] != "" {
		t.State, t.Why = failed, strings.TrimSpace(m[4]+"\n"+r.noise.String())
		r.noise = tail{}
	}
	if m[1] != "" {
		t.Name = r.program + ": " + t.Name
		r.cases = append(r.cases, t)
		return
	}
	r.tests = append(r.tests, r.cases...)
	if len(r.cases) == 0 || t.State == failed && !slices.ContainsFunc(r.cases, isFailed) {
		r.tests = append(r.tests, t)
	}
	r.cases, r.program = nil, ""
}

// end marks the end of the output. If a stream is still open, it was cut off, which is a failure.
func (r *tapReader) end() {
	if !r.open {
		return
	}
	r.tests = append(append(r.tests, r.cases...), test{Package: "csrc", Name: r.program, State: failed,
		Why: "the output ends before the end of the tests\n" + r.noise.String()})
	r.open, r.cases, r.program = false, nil, ""
}
