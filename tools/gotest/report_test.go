package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, events string
		want         total
		says         string
	}{
		{"a test with subtests counts as those", `
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"run","Package":"p","Test":"A/x"}
			{"Action":"pass","Package":"p","Test":"A/x"}
			{"Action":"run","Package":"p","Test":"A/y"}
			{"Action":"output","Package":"p","Test":"A/y","Output":"    a_test.go:3: no compiler\n"}
			{"Action":"skip","Package":"p","Test":"A/y"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p"}`,
			total{1, 0, 1}, "no compiler"},
		{"a test that passes and left something out says so", `
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:3: skip: the half in C\n"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p"}`,
			total{1, 0, 0}, "the half in C"},
		{"a suite counts as its specs", `
			{"Action":"run","Package":"p","Test":"Suite"}
			{"Action":"output","Package":"p","Test":"Suite","Output":"csrc: 7 specs\n"}
			{"Action":"output","Package":"p","Test":"Suite","Output":"FAIL! -- 7 Passed | 2 Failed | 1 Pending | 3 Skipped\n"}
			{"Action":"fail","Package":"p","Test":"Suite"}
			{"Action":"fail","Package":"p"}`,
			total{7, 2, 4}, "csrc: 7 specs"},
		{"a suite that fails without a failed spec counts as one", `
			{"Action":"run","Package":"p","Test":"Suite"}
			{"Action":"output","Package":"p","Test":"Suite","Output":"FAIL! -- 7 Passed | 0 Failed | 0 Pending | 0 Skipped\n"}
			{"Action":"fail","Package":"p","Test":"Suite"}
			{"Action":"fail","Package":"p"}`,
			total{7, 1, 0}, "FAIL  p"},
		{"a package that does not build counts as one", `
			{"ImportPath":"p","Action":"build-output","Output":"a.go:1: undefined: x\n"}
			{"ImportPath":"p","Action":"build-fail"}
			{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
			{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			total{0, 1, 0}, "undefined: x"},
		{"a test that was running when the process died counts as one", `
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"run","Package":"p","Test":"B"}
			{"Action":"output","Package":"p","Test":"B","Output":"dying\n"}
			{"Action":"fail","Package":"p"}`,
			total{0, 2, 0}, "dying"},
		{"a test that was running when go test died counts as one, and its package as another", `
			{"Action":"start","Package":"p"}
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"run","Package":"p","Test":"B"}
			{"Action":"output","Package":"p","Test":"B","Output":"at line 7\n"}`,
			total{1, 2, 0}, "p B did not end\nat line 7"},
		{"what is no event is shown", "go: no such module\n", total{}, "no such module"},
	} {
		var out strings.Builder
		got, err := report(strings.NewReader(strings.TrimLeft(c.events, "\n")+"\n"), &out)
		if err != nil || got != c.want || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: got %+v, %v, want %+v and %q; it said:\n%s", c.name, got, err, c.want, c.says, &out)
		}
	}
}
