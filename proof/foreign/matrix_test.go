//go:build linux

package foreign

import (
	"slices"
	"testing"
)

func TestAddTests(t *testing.T) {
	var c count
	passed, err := c.addTests([]byte(`{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"A","Output":"--- FAIL: B (0.00s)\n"}
{"Action":"run","Package":"p","Test":"A/x"}
{"Action":"pass","Package":"p","Test":"A/x"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"run","Package":"p","Test":"C"}
{"Action":"output","Package":"p","Test":"C","Output":"    a_test.go:1: missing: no s6\n"}
{"Action":"output","Package":"p","Test":"C","Output":"--- SKIP: C (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"C"}
{"Action":"run","Package":"p","Test":"D"}
{"Action":"output","Package":"p","Test":"D","Output":"too bad\n"}
{"Action":"run","Package":"p","Test":"TestSuite"}
{"Action":"output","Package":"p","Test":"TestSuite","Output":"Will run 2 of 9 specs\n"}
{"Action":"run","Package":"p","Test":"TestSuite/one"}
{"Action":"pass","Package":"p","Test":"TestSuite/one"}
{"Action":"run","Package":"p","Test":"TestSuite/two"}
{"Action":"output","Package":"p","Test":"TestSuite/two","Output":"S    run.go:1: no\n"}
{"Action":"output","Package":"p","Test":"TestSuite/two","Output":"        tea\n"}
{"Action":"output","Package":"p","Test":"TestSuite/two","Output":"--- SKIP: TestSuite/two (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestSuite/two"}
{"Action":"pass","Package":"p","Test":"TestSuite"}
{"Action":"fail","Package":"p"}
`))
	if err != nil || c.passed != 2 || c.leftOut != 7 || !slices.Equal(c.failures, []string{"D\ntoo bad\n"}) || len(c.skips) != 2 ||
		c.skips["go test: C: missing: no s6"] != 1 || c.skips["no\ntea"] != 1 || !slices.Equal(passed, []string{"A", "one"}) {
		t.Errorf("got %+v, %v, %v", c, passed, err)
	}
}
