package driver

import (
	"reflect"
	"testing"

	"github.com/scm-rights/scm/proof/must"
)

func TestParsePlan(t *testing.T) {
	got := ParsePlan("plan.txt", []byte("# a comment\n\nprogram ./examples/fdstore\nquick 0   one check\nfull  254 another\n"))
	want := Plan{[]string{"./examples/fdstore"}, []Check{{"one check", 0, true}, {"another", 254, false}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, text := range []string{"slow 0 name", "quick name", "quick 0", "full 0 "} {
		if must.Try(func() { ParsePlan("plan.txt", []byte(text)) }) == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestJudge(t *testing.T) {
	const before = "booting\r\n@@systemd 256.1-1\r\na message without an end"
	for _, test := range []struct {
		name          string
		since         int
		console, want string
	}{
		{"passes", 0, "@@check a check: ok\r\n", "ok"},
		{"fails", 0, "@@check a check: no: answer\r\n", "no: answer"},
		{"is absent from an old version", 259, "@@check a check: absent\n", "not in systemd 256 (introduced in 259)"},
		{"is absent from a new version", 254, "@@check a check: absent\n", "absent"},
		{"passes on a version that is too old", 259, "@@check a check: ok\n", "works, although it was introduced in systemd 259"},
		{"fails on a version that is too old", 259, "@@check a check: error\n", "error"},
		{"has no result", 0, "@@check another check: ok\n", "0 results, want 1"},
		{"has two results", 0, "@@check a check: ok\n@@check a check: ok\n", "2 results, want 1"},
	} {
		if got := (Check{Name: "a check", Since: test.since}).Judge(256, before+test.console); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestNotes(t *testing.T) {
	got := Notes("@@check a: ok\r\n@@note 5 requests\r\n")
	if len(got) != 1 || got[0] != "5 requests" {
		t.Errorf("got %q, want 5 requests", got)
	}
}
