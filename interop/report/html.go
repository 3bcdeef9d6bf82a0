package report

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
)

//go:embed page.html
var page string

// html/template writes data inside a script as it has to be written there.
var pageTemplate = template.Must(template.New("page").Parse(page))

// row is a case on the page.
type row struct {
	Name, Verdict string
	Why           string   `json:",omitempty"`
	Findings      []string `json:",omitempty"`
	Lines         []string `json:",omitempty"`
	Trace         []string `json:",omitempty"`
}

// HTML writes the report as one page that needs nothing else: a matrix a type of
// socket, whose cells open the cases of two peers: what was found, what was said,
// and how to play it again.
func (r *Report) HTML(w io.Writer) error {
	rows := []row{}
	rules := map[string][]string{} // of the scenarios, by their names
	for _, c := range r.Cases {
		next := row{Name: c.Name, Verdict: c.Verdict.String(), Why: c.Why, Lines: c.Transcript, Trace: Trace(c)}
		for _, f := range c.Findings {
			next.Findings = append(next.Findings, f.Located())
		}
		if c.Verdict == scenario.Expected {
			next.Findings = append(next.Findings, c.Reasons...)
		}
		rows = append(rows, next)
		if s := c.Case.Scenario; s != nil { // a report that was read has none
			rules[s.Name] = s.Rule
		}
	}
	replay := r.Replay
	if replay == "" {
		replay = "scm interop replay REPORT.json#" // as --report would have kept it
	}
	return pageTemplate.Execute(w, map[string]any{"Report": r.head(), "Cases": rows, "Rules": rules, "Replay": replay, "Causes": r.Causes(),
		"Types": contract.SocketTypes, "Kernel": scenario.KernelName})
}
