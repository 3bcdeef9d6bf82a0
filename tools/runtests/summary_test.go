//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/testrecord"
)

// specs returns n results of specs with a partner.
func specs(n int, state, partner, why string) []test {
	return slices.Repeat([]test{{Package: module, Name: "a case", State: state, Labels: []string{"catalogue", partner}, Why: why}}, n)
}

func TestSummary(t *testing.T) {
	one := func(state string) []test { return []test{{Package: module + "/p", Name: "A", State: state}} }
	on := func(backend string, tests ...[]test) *outcome {
		return &outcome{Name: backend, Backend: backend, Log: backend + ".log", Tests: slices.Concat(tests...)}
	}
	nix, book := specs(7, passed, "nix", ""), append(specs(5, passed, "book", ""), specs(2, skipped, "book", "book: no iov")...)
	lacks := func(what string) []test {
		return []test{{Name: "A", State: skipped, Why: "no " + what, Missing: what}}
	}
	for _, c := range []struct {
		name  string
		parts []*outcome
		least int
		want  string // the end
		ok    bool
	}{
		{"green", []*outcome{on("cgo", one(passed)), on("purego", one(passed))}, 0, "\n2 passed, 0 failed, 0 skipped\n", true},
		{"red", []*outcome{on("cgo", one(passed)), on("purego", one(failed))}, 0, "\nfailed: purego: p A\n1 passed, 1 failed, 0 skipped\n", false},
		{"a skipped part", []*outcome{on("cgo", one(passed)), {Name: "x", Tests: []test{{Name: "x", State: skipped, Why: "old"}}}}, 0,
			"\nskipped: x: old\n1 passed, 0 failed, 1 skipped\n", true},
		{"what is missing", []*outcome{on("cgo", one(passed), lacks("s6"), lacks("root"), lacks("s6"), specs(1, skipped, "nix", "nix: no cargo in PATH"))}, 0,
			"\nmissing: root, s6 (as root on Debian, tools/setup test installs most tools)\n" +
				"0 specs against C and 0 against Rust passed on both backends\n1 passed, 0 failed, 4 skipped\n", true},
		{"a failure outside the parts", []*outcome{on("cgo", one(passed))}, 2, "\n1 passed, 2 failed, 0 skipped\n", false},
		{"a time limit", []*outcome{on("cgo", []test{{Name: "A", State: failed, Why: "it reached its time limit"}})}, 0,
			"\non a busy machine: make test SLOW=3\n0 passed, 1 failed, 0 skipped\n", false},
		{"partners", []*outcome{on("cgo", nix, book), on("purego", book, nix)}, 0, "\n12 specs against C and Rust passed on both backends\n24 passed, 0 failed, 4 skipped\n", true},
		{"a failed partner", []*outcome{on("cgo", book, specs(4, passed, "nix", ""), specs(3, failed, "nix", "")), on("purego", book, nix)}, 0,
			"\n9 specs against C and Rust passed on cgo, and 12 specs against C and Rust passed on pure Go; 3 failed\n21 passed, 3 failed, 4 skipped\n", false},
		{"a failed runner, and other tests", []*outcome{on("cgo", book, nix, specs(1, passed, "runner", ""), specs(9, failed, "runner", ""), one(passed)),
			on("purego", book, nix, specs(4, failed, "scm-cgo", ""))}, 0,
			"\nthe other backend                    0       0       0           0       4       0\n" +
				"the runner                           1       9       0           0       0       0\n" +
				"other Go tests                       1       0       0           0       0       0\n" +
				"12 specs against C and Rust passed on both backends\n26 passed, 13 failed, 4 skipped\n", false},
		{"no Rust", []*outcome{on("cgo", book), on("purego", book)}, 0, "\n5 specs against C and 0 against Rust passed on both backends\n10 passed, 0 failed, 4 skipped\n", true},
		{"nothing", nil, 0, "\nfailed: nothing ran\n0 passed, 1 failed, 0 skipped\n", false},
		{"nothing but skips", []*outcome{on("cgo", one(skipped))}, 0, "\nfailed: nothing ran\n0 passed, 1 failed, 1 skipped\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			s := summary{title: "make test", parts: c.parts, least: c.least}
			if status := s.print(&text); (status == 0) != c.ok || !strings.HasSuffix(text.String(), c.want) {
				t.Errorf("status %d, and %q; want the end %q", status, &text, c.want)
			}
		})
	}
}

// The end of the output fits on a screen, no matter how many tests fail.
func TestSummaryIsShort(t *testing.T) {
	var text strings.Builder
	parts := []*outcome{{Name: "cgo", Tests: slices.Repeat([]test{{Name: "A", State: failed}}, 999)}}
	if (&summary{title: "make test", parts: parts}).print(&text); strings.Count(text.String(), "\n") > 30 || !strings.Contains(text.String(), "987 more") {
		t.Error(&text)
	}
}

// -sum computes the same totals from the files that a run writes.
func TestSum(t *testing.T) {
	name := filepath.Join(t.TempDir(), "test")
	parts := []*outcome{{Name: "cgo", Backend: "cgo", Tests: append(specs(3, passed, "nix", ""), specs(2, failed, "nix", "line\nline")...)}}
	s := summary{title: "make test", parts: parts}
	fdtest.Must(t, s.write(name))
	read, err := readOutcomes(name + ".json")
	if err != nil || countOf(read[0].Tests) != (testrecord.Counts{3, 2, 0}) {
		t.Errorf("got %v, %v", read, err)
	} else if table, _ := partnerTable(read, false); !strings.Contains(table, "\nnix, in Rust                         3       2 ") {
		t.Errorf("got the table%s", table)
	}
	xml, err := os.ReadFile(name + ".xml")
	if err != nil || !strings.Contains(string(xml), `tests="5" failures="2"`) || !strings.Contains(string(xml), `message="line"`) {
		t.Errorf("%v: %s", err, xml)
	}
	if _, err := readOutcomes(name); err == nil {
		t.Error("a file that does not exist is no error")
	}
}
