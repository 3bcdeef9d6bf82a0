//go:build linux && cgo

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	echoIfAsked()
	m.Run()
}

// Every way carries each load that is for it, those of scm that make no files allocate nothing, and the
// pictures are XML. How long it takes is nobody's concern here.
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
			// The runtime allocates now and then by itself.
			files := strings.HasSuffix(r.Way, "Files") || strings.HasSuffix(r.Way, "framed.Reader")
			if strings.HasPrefix(r.Way, "scm ") && !files && l.goroutines == 1 && r.Allocs > 0.5 {
				t.Errorf("%s: %s allocates %.1f times a pass", l.name, r.Way, r.Allocs)
			}
		}
		rows = append(rows, some...)
	}
	for _, w := range ways {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.Way == w.name }) {
			t.Errorf("%s carries nothing", w.name)
		}
	}
	for _, picture := range [][]byte{ratios(rows), curve(rows)} {
		d := xml.NewDecoder(bytes.NewReader(picture))
		for _, err := d.Token(); !errors.Is(err, io.EOF); _, err = d.Token() {
			if err != nil {
				t.Fatalf("%v in\n%s", err, picture)
			}
		}
	}
}

func TestWorse(t *testing.T) {
	k := row{Load: "l", Way: "w", Ratio: 1.1, Low: 1.08, Top: 1.12, Instructions: 1000}
	for want, r := range map[string]row{
		"":                             {Low: 1.11, Top: 2, Instructions: 1099, Allocs: 0.4},
		"1.0 allocations, not 0.0":     {Low: 1, Allocs: 1},
		"1101 instructions, not 1000":  {Low: 1, Instructions: 1101},
		"1.140 (1.130 to 1.150), not ": {Low: 1.13, Ratio: 1.14, Top: 1.15},
	} {
		r.Load, r.Way = "l", "w"
		got := worse(results{goVersion, []row{k}}, []row{r}, false)["l: w"]
		if !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: got %q, want %q", r, got, want)
		}
	}
	if red := worse(results{goVersion, []row{k}}, []row{{Load: "l", Way: "w", Low: 2}}, true); len(red) > 0 {
		t.Errorf("a time decides: %v", red)
	}
}

// The page has the tables of the kept rows.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	tables(&b, read("../docs/performance.json").Rows)
	page := string(must(os.ReadFile("../docs/performance.md")))
	if _, kept, _ := strings.Cut(page, "\n## Tables\n"); kept != b.String() {
		t.Errorf("make bench-keep would have\n%s", &b)
	}
}

func TestReferenceRefuses(t *testing.T) {
	p := newPair(loads[0])
	for _, l := range []load{{count: 0, messages: 1}, {count: 254, messages: 1}, {count: 1, messages: 17}} {
		if err := reference(p, l, 1); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	if err := reference(pair{p.a, p.b, -1}, loads[0], 1); err == nil {
		t.Error("a descriptor that is none is passed")
	}
}
