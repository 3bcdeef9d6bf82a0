package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/scm-rights/scm/interop/scenario"
)

var (
	tapPoint = regexp.MustCompile(`^(ok|not ok) (\d+) - ([^ #]+)(?: # (SKIP|TODO) ([^\n]+))?$`)
	tapYAML  = regexp.MustCompile(`^  (---|\.\.\.|output: \||  +\S.*|message: (".*"))$`)
)

// readTAP reads a TAP report, and returns the number of its test points by their outcome.
func readTAP(t *testing.T, r *Report) (outcomes map[string]int, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := r.TAP(&b); err != nil {
		t.Fatal(err)
	}
	outcomes = map[string]int{}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	points := 0
	for _, line := range lines[2:] {
		if strings.ContainsFunc(line, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%q has a character that is not printable", line)
		}
		if m := tapYAML.FindStringSubmatch(line); m != nil {
			if m[2] != "" && json.Unmarshal([]byte(m[2]), new(string)) != nil {
				t.Errorf("%q is no string of YAML", m[2])
			}
			continue
		}
		m := tapPoint.FindStringSubmatch(line)
		points++
		if m == nil || m[2] != fmt.Sprint(points) {
			t.Fatalf("%q is not test point %d", line, points)
		}
		outcomes[strings.TrimSpace(m[1]+" "+m[4])]++
	}
	if want := fmt.Sprintf("1..%d", points); lines[0] != "TAP version 14" || lines[1] != want {
		t.Errorf("got %q, want %s", lines[:2], want)
	}
	return outcomes, b.String()
}

// No text of a peer can end a line, or add a test point.
func TestTAPEscapesPeers(t *testing.T) {
	const hostile = "two\nok 1 - lines \x00\x1b\ufffe\u2028\xff # SKIP ::error:: \"'"
	finding := scenario.Finding{Check: scenario.CheckAnswer, Peer: "x", Line: 3, Text: hostile}
	r := &Report{Cut: hostile}
	for i, v := range scenario.Verdicts {
		r.Cases = append(r.Cases, scenario.Result{Name: "a/" + string(rune('a'+i)) + "/stream/x/x", Verdict: v, Why: hostile,
			Findings: []scenario.Finding{finding}, Reasons: []string{hostile}, Transcript: []string{"A< " + hostile}})
	}
	if got, text := readTAP(t, r); got["ok"] != 1 || got["ok SKIP"] != 1 || got["not ok TODO"] != 1 || got["not ok"] != len(scenario.Verdicts)-3+1 {
		t.Errorf("got %v\n%s", got, text)
	}
}
