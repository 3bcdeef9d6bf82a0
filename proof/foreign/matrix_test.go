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
	c.addTests([]byte(`{"Action":"start","Package":"p"}
{"Action":"run","Test":"A"}
{"Action":"output","Test":"A","Output":"--- FAIL: B (0.00s)\n"}
{"Action":"pass","Test":"A/x"}
{"Action":"pass","Test":"A"}
{"Action":"output","Test":"C","Output":"    a_test.go:1: missing: no s6\n"}
{"Action":"output","Test":"C","Output":"--- SKIP: C (0.00s)\n"}
{"Action":"skip","Test":"C"}
{"Action":"fail","Test":"D"}
{"Action":"pass","Test":"TestSuite"}
{"Action":"fail","Package":"p"}
`))
	if c.passed != 1 || !slices.Equal(c.failures, []string{"D"}) || c.skips["go test: C: missing: no s6"] != 1 || len(c.skips) != 1 {
		t.Errorf("got %+v", c)
	}
}
