//go:build linux && cgo

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
)

func TestMain(m *testing.M) {
	echoIfAsked()
	m.Run()
}

// Every way passes each load that it supports, and the ways of scm without files allocate
// nothing. Times are not tested.
func TestRows(t *testing.T) {
	ways := append(ours(), others()...)
	var rows []row
	for _, l := range loads {
		some := play(l, l.of(ways), 1)
		if len(some) < 2 || some[0].Way != "C" || some[0].Nanoseconds <= 0 {
			t.Errorf("%s: got %+v", l.name, some)
		}
		for _, r := range some[1:] {
			if r.Ratio <= 0 {
				t.Errorf("%s: got %+v", l.name, r)
			}
			// The runtime itself may allocate.
			files := strings.HasSuffix(r.Way, "Files") || strings.HasSuffix(r.Way, "framed.Reader")
			if strings.HasPrefix(r.Way, "scm ") && !files && l.goroutines == 1 && r.Allocs > 0.5 {
				t.Errorf("%s: %s allocates %.1f times per pass", l.name, r.Way, r.Allocs)
			}
		}
		rows = append(rows, some...)
	}
	for _, w := range ways {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Way == w.name }) {
			t.Errorf("%s has no row", w.name)
		}
	}
}

func TestWorse(t *testing.T) {
	k := row{Load: "l", Way: "w", Ratio: 1.1, Low: 1.08, Top: 1.12, Instructions: 1000}
	for want, r := range map[string]row{
		"":                             {Low: 1.11, Top: 2, Instructions: 1099, Allocs: 0.4},
		"1.0 allocations, not 0.0":     {Low: 1, Allocs: 1},
		"1101 instructions, not 1000":  {Low: 1, Instructions: 1101},
		"no instructions were counted": {Low: 1},
		"1.140 (1.130 to 1.150), not ": {Low: 1.13, Ratio: 1.14, Top: 1.15, Instructions: 1000},
	} {
		r.Load, r.Way = "l", "w"
		got := worse(results{goVersion, []row{k}}, []row{r}, false)["l: w"]
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: got %q, want %q", r, got, want)
		}
	}
	if red := worse(results{goVersion, []row{k}}, []row{{Load: "l", Way: "renamed"}}, true); red["l: renamed"] == "" {
		t.Error("a row that is not on the page is ok")
	}
	if red := worse(results{goVersion, []row{k}}, []row{{Load: "l", Way: "w", Low: 2, Instructions: 1000}}, true); len(red) > 0 {
		t.Errorf("times are compared: %v", red)
	}
	k.Way = "scm " + scm.Backend + ": w"
	if red := worse(results{goVersion, []row{k}}, nil, true); red["l: "+k.Way] == "" {
		t.Error("a row that was not measured is ok")
	}
}

// make proof-bench QUICK=1 compares with the recorded tables, so none of their rows may be lost.
func TestPage(t *testing.T) {
	text := string(must(os.ReadFile("testdata/tables.md")))
	if again := tables(recorded(text)); again != text {
		t.Errorf("the tables are not read as they are; make proof-bench KEEP=1 would write\n%s", again)
	}
}

// README.md has the ratios of some rows of the tables, in this order.
func TestREADME(t *testing.T) {
	rows := recorded(string(must(os.ReadFile("testdata/tables.md")))).Rows
	const one, most = "a descriptor and a byte, stream", "253 descriptors and a byte, stream"
	wanted := []struct{ load, way string }{
		{one, "scm purego: WriteFD, ReadFD"},
		{one, "x/sys"},
		{one, "scm purego: Conn.Send, Conn.Recv"},
		{one, "net.UnixConn"},
		{one, "scm purego: Conn.WriteFiles, Conn.ReadFiles"},
		{one, "net.UnixConn with os.NewFile"},
		{most, "scm purego: Conn.WriteFiles, Conn.ReadFiles"},
		{most, "net.UnixConn with os.NewFile"},
	}
	var want []string
	for _, w := range wanted {
		i := slices.IndexFunc(rows, func(r row) bool { return r.Load == w.load && r.Way == w.way })
		if i < 0 {
			t.Fatalf("no row of %s for %s", w.load, w.way)
		}
		// In binary, 1.255 is a little less.
		want = append(want, fmt.Sprintf("%.2f", rows[i].Ratio+1e-9))
	}
	line := regexp.MustCompile(`(?m)^.*\(proof/bench/testdata/tables\.md\).*$`).Find(must(os.ReadFile("../../README.md")))
	if got := regexp.MustCompile(`\d+\.\d+`).FindAllString(string(line), -1); !slices.Equal(got, want) {
		t.Errorf("README.md has the ratios %q, want %q: of %q", got, want, wanted)
	}
}

func TestReferenceRefuses(t *testing.T) {
	s := newSockets(loads[0])
	for _, l := range []load{{count: 0}, {count: 254}, {count: 1, payload: -1}} {
		if err := reference(s, l, 1); err == nil {
			t.Errorf("%+v: no error", l)
		}
	}
	if err := reference(sockets{s.a, s.b, -1}, loads[0], 1); err == nil {
		t.Error("descriptor -1: no error")
	}
}
