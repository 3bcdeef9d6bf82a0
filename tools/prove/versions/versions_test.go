//go:build linux

package versions

import (
	"errors"
	"strings"
	"testing"
)

// A program shows the fault or that it is fixed. Any other output is an error.
func TestJudge(t *testing.T) {
	f := Fault{Shown: "^[1-9]\\d* are open", Fixed: "^0 are open"}
	for _, c := range []struct {
		output  string
		shown   bool
		unclear bool
	}{
		{"x\n100 are open\n", true, false},
		{"0 are open\n", false, false},
		{"compile error\n", false, true},
		{"", false, true},
	} {
		shown, err := f.judge(c.output, errors.New("exit status 1"))
		if shown != c.shown || (err != nil) != c.unclear {
			t.Errorf("%q: got %v, %v", c.output, shown, err)
		}
	}
}

// Every program of the plan is on its page, and its expressions compile.
func TestPlan(t *testing.T) {
	plan, err := ReadPlan("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range plan.Libraries {
		if err := l.Check("../../.."); err != nil {
			t.Error(err)
		}
		for _, v := range l.Versions {
			if (v.Version == "newest") != (l.Newest != "" && v == l.Versions[len(l.Versions)-1]) {
				t.Errorf("%s: only the last version of a registry is its newest: %+v", l.Peer, v)
			}
		}
	}
	l := Library{Peer: "python", Faults: []Fault{{Title: "No such fault", Files: []string{"a.py"}}}}
	if err := l.Check("../../.."); err == nil || !strings.Contains(err.Error(), "no section") {
		t.Errorf("got %v", err)
	}
}
