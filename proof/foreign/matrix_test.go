//go:build linux

package foreign

import (
	"slices"
	"testing"
)

func TestAddTests(t *testing.T) {
	var c count
	passed, err := c.addTests([]byte(`{"Action":"start","Package":"p"}
{"Action":"run","Test":"A"}
{"Action":"output","Test":"A","Output":"--- FAIL: B (0.00s)\n"}
{"Action":"run","Test":"A/x"}
{"Action":"pass","Test":"A/x"}
{"Action":"pass","Test":"A"}
{"Action":"run","Test":"C"}
{"Action":"output","Test":"C","Output":"    a_test.go:1: missing: no s6\n"}
{"Action":"output","Test":"C","Output":"--- SKIP: C (0.00s)\n"}
{"Action":"skip","Test":"C"}
{"Action":"run","Test":"D"}
{"Action":"run","Test":"TestSuite"}
{"Action":"output","Test":"TestSuite","Output":"Will run 2 of 9 specs\n"}
{"Action":"run","Test":"TestSuite/one"}
{"Action":"pass","Test":"TestSuite/one"}
{"Action":"run","Test":"TestSuite/two"}
{"Action":"output","Test":"TestSuite/two","Output":"S    run.go:1: no\n"}
{"Action":"output","Test":"TestSuite/two","Output":"        tea\n"}
{"Action":"output","Test":"TestSuite/two","Output":"--- SKIP: TestSuite/two (0.00s)\n"}
{"Action":"skip","Test":"TestSuite/two"}
{"Action":"pass","Test":"TestSuite"}
{"Action":"fail","Package":"p"}
`))
	if err != nil || c.passed != 2 || c.leftOut != 7 || !slices.Equal(c.failures, []string{"D"}) || len(c.skips) != 2 ||
		c.skips["go test: C: missing: no s6"] != 1 || c.skips["no\ntea"] != 1 || !slices.Equal(passed, []string{"A", "one"}) {
		t.Errorf("got %+v, %v, %v", c, passed, err)
	}
}
