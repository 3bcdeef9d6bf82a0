//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/report"
)

// packageOf returns a package after events, each of which is an action, or an action and a test.
func packageOf(events []string, records ...testrecord.Record) *goPackage {
	p := newPackage("p")
	for _, text := range events {
		e := event{Package: "p", Elapsed: 1}
		e.Action, e.Test, _ = strings.Cut(text, " ")
		if e.Action == "says" {
			e.Action, e.Output = "output", e.Test+"\n"
			e.Test, e.Output, _ = strings.Cut(e.Output, ": ")
		}
		p.take(e)
	}
	p.records = records
	return p
}

func record(kind testrecord.Kind, name, state string) testrecord.Record {
	return testrecord.Record{Package: "p", Kind: kind, Name: name, State: state}
}

func TestResults(t *testing.T) {
	begin, end := record(testrecord.Begin, "", ""), record(testrecord.End, "", "")
	dry := begin
	dry.DryRun = true
	lacks := record(testrecord.Lacks, "A", "")
	lacks.Missing = "root"
	alone := record(testrecord.Spec, "A", "skipped")
	alone.Why = "only root can"
	spec := func(name, state string) testrecord.Record { return record(testrecord.Spec, name, state) }
	suite := func(state string) []string { return []string{"start", "run TestSuite", state + " TestSuite", state} }
	for _, c := range []struct {
		name    string
		events  []string
		records []testrecord.Record
		want    string // the counts, the failed tests, and what is missing
		says    string // in the first reason of a failure or skip
	}{
		{"the subtests of a test are counted instead of it", []string{"start", "run A", "run A/x", "run A/y", "pass A/x", "skip A/y", "pass A", "pass"}, nil,
			"1 passed, 0 failed, 1 skipped", ""},
		{"a test that fails after its subtests passed counts", []string{"start", "run A", "run A/x", "pass A/x", "says A: no", "fail A", "fail"}, nil,
			"1 passed, 1 failed, 0 skipped: A", "no"},
		{"a test fails with its subtest, and counts once", []string{"start", "run A", "run A/x", "run A/y", "pass A/x", "says A/y: === RUN   A/y", "says A/y: === no ===", "fail A/y", "fail A", "fail"}, nil,
			"1 passed, 1 failed, 0 skipped: A/y", "=== no ==="},
		{"a subtest whose name contains a slash is counted", []string{"start", "run A", "run A/no_/proc", "run A/no", "fail A/no_/proc", "pass A/no", "fail A", "fail"}, nil,
			"1 passed, 1 failed, 0 skipped: A/no_/proc", ""},
		{"what a test prints is not counted", []string{"start", "run A", "says A: --- FAIL: B (0.00s)", "says A: FAIL", "says A: 7 Passed | 2 Failed", "pass A", "pass"}, nil,
			"1 passed, 0 failed, 0 skipped", ""},
		{"the result of a test that did not begin is not counted", []string{"start", "run A", "fail B", "pass A", "pass"}, nil,
			"1 passed, 0 failed, 0 skipped", ""},
		{"a test that ended does not end again", []string{"start", "run A", "pass A", "fail A", "pass"}, nil,
			"1 passed, 0 failed, 0 skipped", ""},
		{"a skipped spec says what is missing and why", suite("pass"), []testrecord.Record{begin, lacks, alone, end},
			"0 passed, 0 failed, 1 skipped: root", "only root can"},
		{"a skipped test says what is missing", []string{"start", "run A", "says A: words", "skip A", "pass"}, []testrecord.Record{lacks},
			"0 passed, 0 failed, 1 skipped: root", ""},
		{"the specs of a suite are counted instead of it", suite("fail"), []testrecord.Record{begin, spec("a", "passed"), spec("b", "failed"), spec("c", "panicked"), spec("d", "pending"), spec("e", "skipped"), end},
			"1 passed, 2 failed, 2 skipped: b, c", ""},
		{"the last record of a spec holds", suite("fail"), []testrecord.Record{begin, spec("a", "passed"), spec("a", "failed"), end},
			"0 passed, 1 failed, 0 skipped: a", ""},
		{"a failed node counts", suite("fail"), []testrecord.Record{begin, spec("a", "passed"), record(testrecord.Node, "BeforeSuite", "failed"), end},
			"1 passed, 1 failed, 0 skipped: BeforeSuite", ""},
		{"a suite that fails without a failed spec counts", append([]string{"start", "run TestSuite", "says TestSuite: leaked"}, suite("fail")[2:]...), []testrecord.Record{begin, spec("a", "passed"), end},
			"1 passed, 1 failed, 0 skipped: TestSuite", "leaked"},
		{"a suite that passes without an end has failed", suite("pass"), []testrecord.Record{begin, spec("a", "passed")},
			"1 passed, 1 failed, 0 skipped: TestSuite", "did not run to its end"},
		{"a suite that dies has failed once", []string{"start", "run TestSuite", "says TestSuite: at line 7", "fail"}, []testrecord.Record{begin, spec("a", "passed")},
			"1 passed, 1 failed, 0 skipped: TestSuite", "at line 7"},
		{"a suite without any record has failed", []string{"start", "run A", "pass A", "run TestSuite", "pass TestSuite", "pass"}, nil,
			"1 passed, 1 failed, 0 skipped: TestSuite", "did not run to its end"},
		{"a suite that did not begin has failed", []string{"start", "run A", "pass A", "pass"}, nil,
			"1 passed, 1 failed, 0 skipped: TestSuite", ""},
		{"a suite that runs no spec has failed", suite("pass"), []testrecord.Record{begin, end},
			"0 passed, 1 failed, 0 skipped: TestSuite", "ran no spec"},
		{"a suite whose specs are all skipped does not fail", suite("pass"), []testrecord.Record{begin, spec("a", "skipped"), end},
			"0 passed, 0 failed, 1 skipped", ""},
		{"a dry run is no pass", suite("pass"), []testrecord.Record{dry, spec("a", "passed"), end},
			"0 passed, 1 failed, 0 skipped: ", "dry run"},
		{"a test that did not end has failed", []string{"start", "run A", "says A: at line 7", "fail"}, nil,
			"0 passed, 1 failed, 0 skipped: A", "at line 7"},
		{"a test that did not end has failed, even if its package passed", []string{"start", "run A", "run B", "pass B", "pass"}, nil,
			"1 passed, 1 failed, 0 skipped: A", ""},
		{"a subtest that did not end has failed, and not its parent too", []string{"start", "run A", "run A/x", "fail"}, nil,
			"0 passed, 1 failed, 0 skipped: A/x", ""},
		{"a package that fails outside its tests counts", []string{"start", "run A", "pass A", "says : leaked", "fail"}, nil,
			"1 passed, 1 failed, 0 skipped: ", "leaked"},
		{"a package that runs no test counts", []string{"start", "pass"}, nil, "0 passed, 1 failed, 0 skipped: ", "ran no test"},
		{"a test in which the package ends has failed", []string{"start", "run A", "pass A", "run B", "pass B"}, nil, "1 passed, 1 failed, 0 skipped: B", "did not end"},
		{"a package that did not start counts", nil, nil, "0 passed, 1 failed, 0 skipped: ", "did not end"},
	} {
		p := packageOf(c.events, c.records...)
		p.suite = len(c.records) > 0 && c.records[0].Kind == testrecord.Begin || strings.Contains(c.name, "a suite")
		var red []string
		first := ""
		results := p.results(time.Hour, false)
		for _, r := range results {
			if r.State == failed {
				red = append(red, r.Name)
			}
			if first == "" && r.State != passed {
				first = r.Why
			}
			if r.Missing != "" {
				red = append(red, r.Missing)
			}
		}
		got := countOf(results).String()
		if slices.Sort(red); len(red) > 0 {
			got += ": " + strings.Join(red, ", ")
		}
		if got != c.want || !strings.Contains(first, c.says) {
			t.Errorf("%s: got %s because %q, want %s because %q", c.name, got, first, c.want, c.says)
		}
	}
}

// After an interrupt, a test that did not end does not count as failed.
func TestInterruptedResults(t *testing.T) {
	p := packageOf([]string{"start", "run A", "pass A", "run B", "fail B", "run C", "run TestSuite"}, record(testrecord.Begin, "", ""),
		record(testrecord.Spec, "a", "failed"))
	p.suite = true
	if got := countOf(p.results(time.Hour, true)); got != (testrecord.Counts{1, 2, 0}) {
		t.Errorf("got %v", got)
	}
}

// A failure says how much of a long output it leaves out.
func TestLongOutput(t *testing.T) {
	events := slices.Concat([]string{"start", "run A"}, slices.Repeat([]string{"says A: words"}, 1000), []string{"fail A", "fail"})
	results := packageOf(events).results(time.Hour, false)
	text := report.NewFailures(1).Text(report.Failure{Why: results[0].Why})
	if strings.Count(text, "words") != report.FailureLines || !strings.Contains(text, "\n    … 970 more lines\n") {
		t.Errorf("got %s", text)
	}
}

func TestTAP(t *testing.T) {
	const cases = "TAP version 14\n# Subtest: test/pair\n    # pair.c:40: n is 0\n    not ok 1 - passes a file\n    ok 2 - closes it\n    ok 3 - a limit # SKIP missing: root\n" +
		"    1..3\nnot ok 1 - test/pair # exit status 1\n"
	for _, c := range []struct{ name, text, want, says string }{
		{"cases", "cc -c a.c\n" + cases + "1..1\n", "1 passed, 1 failed, 1 skipped: test/pair: passes a file", "n is 0"},
		{"a stream that was cut off", cases, "1 passed, 2 failed, 1 skipped: test/pair: passes a file, ", "ends before"},
		{"a stream that was cut off in a case", "TAP version 14\n# Subtest: test/pair\n    ok 1 - a\n", "1 passed, 1 failed, 0 skipped: test/pair", "ends before"},
		{"two streams, of which one was cut off", "TAP version 14\nok 1 - a\nTAP version 14\nok 1 - b\n1..1\n", "2 passed, 1 failed, 0 skipped: ", "ends before"},
		{"a crash", "TAP version 14\n# Subtest: test/fault\n    ok 1 - a\nnot ok 1 - test/fault # exit status 139\n1..1\n", "1 passed, 1 failed, 0 skipped: test/fault", "exit status 139"},
		{"a program without cases", "TAP version 14\nok 1 - test-valgrind/valgrind # SKIP missing: valgrind\n1..1\n", "0 passed, 0 failed, 1 skipped", ""},
		{"a program that skips all", "TAP version 14\n# Subtest: x\n    ok 1 - a # SKIP no\n    1..1\nok 1 - x # SKIP every case was skipped\n1..1\n", "0 passed, 0 failed, 1 skipped", ""},
		{"the output of make", "ok a\nnot ok b\nmake: *** [Makefile:1: test] Error 1\n", "0 passed, 0 failed, 0 skipped", ""},
	} {
		var r tapReader
		for line := range strings.Lines(c.text) {
			r.take(strings.TrimSuffix(line, "\n"))
		}
		r.end()
		var red, why []string
		for _, one := range r.tests {
			if one.State == failed {
				red, why = append(red, one.Name), append(why, one.Why)
			}
		}
		got := countOf(r.tests).String()
		if len(red) > 0 {
			got += ": " + strings.Join(red, ", ")
		}
		if got != c.want || !strings.Contains(strings.Join(why, "\n"), c.says) {
			t.Errorf("%s: got %s because %q, want %s because %q", c.name, got, why, c.want, c.says)
		}
	}
}
