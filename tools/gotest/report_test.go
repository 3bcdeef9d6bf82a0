package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const (
		run, pass    = `{"Action":"run","Package":"p","Test":"`, `{"Action":"pass","Package":"p","Test":"`
		fail, skip   = `{"Action":"fail","Package":"p","Test":"`, `{"Action":"skip","Package":"p","Test":"`
		out          = `{"Action":"output","Package":"p","Test":"`
		passed, dead = `{"Action":"pass","Package":"p"}`, `{"Action":"fail","Package":"p"}`
	)
	for _, c := range []struct {
		name   string
		events []string
		want   total
		says   string
	}{
		{"a test with subtests counts as those",
			[]string{run + `A"}`, run + `A/x"}`, pass + `A/x"}`, run + `A/y"}`, out + `A/y","Output":"no compiler\n"}`, skip + `A/y"}`, pass + `A"}`, passed},
			total{1, 0, 1}, "no compiler\nok    p"},
		{"a test that passes and left something out says so",
			[]string{run + `A"}`, out + `A","Output":"skip: the half in C\n"}`, pass + `A"}`, passed}, total{1, 0, 0}, "the half in C"},
		{"a suite counts as its specs",
			[]string{run + `S"}`, out + `S","Output":"7 specs\n"}`, out + `S","Output":"FAIL! -- 7 Passed | 2 Failed | 1 Pending | 3 Skipped\n"}`, fail + `S"}`, dead},
			total{7, 2, 4}, "7 specs"},
		{"a suite that fails without a failed spec counts as one",
			[]string{run + `S"}`, out + `S","Output":"FAIL! -- 7 Passed | 0 Failed | 0 Pending | 0 Skipped\n"}`, fail + `S"}`, dead}, total{7, 1, 0}, "FAIL  p"},
		{"a package that does not build counts as one",
			[]string{`{"ImportPath":"p","Action":"build-output","Output":"a.go:1: undefined: x\n"}`, `{"ImportPath":"p","Action":"build-fail"}`, dead},
			total{0, 1, 0}, "undefined: x"},
		{"a test that was running when the process died counts as one",
			[]string{run + `A"}`, fail + `A"}`, run + `B"}`, out + `B","Output":"dying\n"}`, dead}, total{0, 2, 0}, "dying"},
		{"a test that was running when go test died counts as one, and its package as another",
			[]string{`{"Action":"start","Package":"p"}`, run + `A"}`, pass + `A"}`, run + `B"}`, out + `B","Output":"at line 7\n"}`},
			total{1, 2, 0}, "p B did not end\nat line 7"},
		{"what is no event is shown", []string{"go: no such module"}, total{}, "no such module"},
	} {
		var said strings.Builder
		got, err := report(strings.NewReader(strings.Join(c.events, "\n")+"\n"), &said)
		if err != nil || got != c.want || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: got %+v, %v, want %+v and %q; it said:\n%s", c.name, got, err, c.want, c.says, &said)
		}
	}
}
