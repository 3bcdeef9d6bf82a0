package contract

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Line
	}{
		{"ok", Line{Verb: "ok"}},
		{"ok n=5 payload=- fds=12,13", Line{Verb: "ok", Fields: map[string]string{"n": "5", "payload": "-", "fds": "12,13"}}},
		{"ok n= eof", Line{Verb: "ok", Fields: map[string]string{"n": ""}, Words: []string{"eof"}}},
		{"ok a=b=c", Line{Verb: "ok", Fields: map[string]string{"a": "b=c"}}},
		{"err EPIPE", Line{Verb: "err", Words: []string{"EPIPE"}}},
		{"err lib", Line{Verb: "err", Words: []string{"lib"}}},
		{"err lib it broke  in two: fds=1 fds=2", Line{Verb: "err", Words: []string{"lib"}}},
		{"err EPIPE lib", Line{Verb: "err", Words: []string{"EPIPE", "lib"}}},
		{"ok lib x", Line{Verb: "ok", Words: []string{"lib", "x"}}},
		{"limit B nofile=+0", Line{Verb: "limit", Words: []string{"B"}, Fields: map[string]string{"nofile": "+0"}}},
	} {
		got, err := ParseLine(c.in)
		if err != nil || got.Verb != c.want.Verb ||
			!maps.Equal(got.Fields, c.want.Fields) || !slices.Equal(got.Words, c.want.Words) {
			t.Errorf("%q: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
	for in, want := range map[string]string{
		"":              `line is empty or begins with a space: ""`,
		" ok":           `line is empty or begins with a space: " ok"`,
		"ok ":           `words must be separated by one space: "ok "`,
		"ok  n=1":       `words must be separated by one space: "ok  n=1"`,
		"ok n=1 n=1":    `duplicate field n= in "ok n=1 n=1"`,
		"err EPIPE  on": `words must be separated by one space: "err EPIPE  on"`,
	} {
		if got, err := ParseLine(in); err == nil || err.Error() != want {
			t.Errorf("%q: got %+v, %v; want %s", in, got, err, want)
		}
	}
}

// A long list is abbreviated before the text is cut, because its length would be wrong otherwise.
func TestQuote(t *testing.T) {
	var fds []string
	for fd := range 250 {
		fds = append(fds, strconv.Itoa(fd+3))
	}
	for in, want := range map[string]string{
		"ok n=1":                  `"ok n=1"`,
		"\x7fELF\x00é":            `"\x7fELF\x00\u00e9"`,
		strings.Repeat("a", 200):  `"` + strings.Repeat("a", 200) + `"`,
		strings.Repeat("a", 201):  `"` + strings.Repeat("a", 199) + `…"`,
		strings.Repeat("\n", 201): `"` + strings.Repeat(`\n`, 99) + `\…"`,
		"ok n=1 fds=" + strings.Join(fds, ",") + " flags=ctrunc": `"ok n=1 fds=3,4,…,252 (250) flags=ctrunc"`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
