package report

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/scenario"
)

// Reports for people abbreviate long lists, data and lines. The JSON report contains all of them.
func TestAbbreviatedReports(t *testing.T) {
	list := strings.Repeat("00,", 1024) + "00"
	data := strings.Repeat("7f", 4096)
	text := strings.Repeat("word ", 400)
	r := small(t)
	failed := r.Cases[4]
	failed.Why = text + list
	failed.Findings = []scenario.Finding{{Check: scenario.CheckAnswer, Peer: "libre", Text: "answered [" + list + "]\nexpected " + data + "\n" + text}}
	failed.Transcript = []string{"A> send payload=" + list + " fds=4", "A< err lib " + text}
	failed.Trace = &scenario.Trace{Why: text, Transcript: []string{"B< ok n=4096 payload=" + data + " fds=-"}, A: []string{"7 sendmsg(3) = 1"}}
	r.Cases[4] = failed
	r.Cases[2].Reasons = []string{list}

	for name, got := range texts(t, r) {
		if strings.Contains(got, strings.Repeat("00,", 13)) || strings.Contains(got, strings.Repeat("7f", 65)) || strings.Contains(got, strings.Repeat("word ", 90)) {
			t.Errorf("%s contains a long text:\n%s", name, got)
		}
		plain := strings.NewReplacer("&#40;", "(", "&#41;", ")", "&#61;", "=", "&#91;", "[").Replace(got)
		if !strings.Contains(plain, "00,00,… (1025)") {
			t.Errorf("%s does not contain the short list:\n%s", name, got)
		}
	}
	if !reflect.DeepEqual(r.Cases[4], failed) {
		t.Errorf("the report has changed: %+v", r.Cases[4])
	}
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil || strings.Count(b.String(), list) != 4 || strings.Count(b.String(), data) != 2 || strings.Count(b.String(), text) != 4 {
		t.Errorf("JSON contains no long text: %v", err)
	}
}
