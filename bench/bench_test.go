//go:build linux && cgo

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm"
)

// Every way carries every load that it is for, the reference does, and the ways of
// scm that are to allocate nothing do not. How long it takes is nobody's concern here.
func TestWays(t *testing.T) {
	nothing := []string{"WriteFD, ReadFD", "Send, Recv", "Conn.Send, Conn.Recv", "fdchannel"}
	played := map[string]bool{}
	for _, l := range loads {
		rows, err := play(l, slices.Concat(ours(), others()), 1, 320*l.count*l.messages)
		if err != nil {
			t.Fatalf("%s: %v", l.name, err)
		}
		if len(rows) < 2 || rows[0].Way != "C" || rows[0].Nanoseconds <= 0 {
			t.Errorf("%s: got %+v", l.name, rows)
		}
		for _, r := range rows[1:] {
			played[r.Way] = true
			if r.Ratio <= 0 || r.Low > r.Ratio || r.Top < r.Ratio {
				t.Errorf("%s: got %+v", l.name, r)
			}
			// The runtime allocates now and then by itself.
			if slices.Contains(nothing, r.Way) && r.Allocs > 0.5 {
				t.Errorf("%s: %s allocates %.1f times a pass", l.name, r.Way, r.Allocs)
			}
		}
	}
	for _, w := range slices.Concat(ours(), others()) {
		if !played[w.name] {
			t.Errorf("%s carries nothing", w.name)
		}
	}
}

// The rows of another build go into the same table, and the reference is there once.
func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows")
	if err := run(nil, 1, 16, "scm ", "", file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), "scm "+scm.Backend, "scm other")
	if !json.Valid([]byte(other)) || other == string(text) {
		t.Fatalf("got %s", text)
	}
	if err := os.WriteFile(file, []byte(other), 0o666); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := run(&b, 1, 16, "scm ", file, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| C | ", "| scm " + scm.Backend + ": Send, Recv | ", "| scm other: Send, Recv | "} {
		least := len(loads)
		if strings.Contains(want, "Send, Recv") {
			least = 4 // loads that any way takes
		}
		if got := strings.Count(b.String(), want); got != least {
			t.Errorf("%q is there %d times, want %d, in\n%s", want, got, least, &b)
		}
	}
}

func TestReferenceRefuses(t *testing.T) {
	p := newPair(loads[0].kind)
	for _, l := range []load{{count: 0, messages: 1}, {count: 254, messages: 1}, {count: 1, messages: 17}} {
		if err := reference(p, l, 1); err == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	if err := reference(pair{p.a, p.b, -1}, loads[0], 1); err == nil {
		t.Error("a descriptor that is none is passed")
	}
}
