//go:build linux

package foreign

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/proof/must"
)

// On 32-bit platforms, the peer book is expected to leak nothing where its buffer has space for only one descriptor.
func TestListOn32Bits(t *testing.T) {
	adapted := listOn32Bits(string(must.Get(fs.ReadFile(catalogue.Files(), catalogue.ExpectedFile))))
	list := must.Get(scenario.ParseExpectations("file", []byte(adapted+expectedOn32Bits)))
	for name, want := range map[string]string{
		"truncation/ctrunc-padding-room-extra-fd": "answer cloexec",
		"truncation/ctrunc-three-into-one":        "answer cloexec",
		"names/name-extra-fds-closed":             "answer cloexec",
		"credentials/ctrunc-creds-eat-the-room":   "cloexec crash",
		"credentials/creds-plain-no-room":         "cloexec crash",
	} {
		var got []string
		for _, l := range list {
			if l.Peer == "book" && l.Role != expected.Sends && l.Pattern.Match(name+"/stream") {
				got = append(got, l.Check)
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: got %s, want %s", name, text, want)
		}
	}
	if must.Try(func() { listOn32Bits("** leak@book why\n") }) == nil {
		t.Error("a list without the lines was accepted")
	}
}

func TestAddTests(t *testing.T) {
	var c count
	passed := map[string]bool{}
	err := c.addTests([]byte(`{"Action":"start","Package":"p"}
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
`), passed)
	if err != nil || c.passed != 2 || c.leftOut != 7 || !slices.Equal(c.failures, []string{"D"}) || len(c.skips) != 2 ||
		c.skips["go test: C: missing: no s6"] != 1 || c.skips["no\ntea"] != 1 || !passed["one"] {
		t.Errorf("got %+v, %v, %v", c, passed, err)
	}
}
