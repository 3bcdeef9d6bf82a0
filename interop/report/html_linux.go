package report

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/scm-rights/scm/interop"
)

//go:embed page.html
var page string

// html/template writes data inside a script as it has to be written there.
var pageTemplate = template.Must(template.New("page").Parse(page))

// row is a case on the page.
type row struct {
	Name, Verdict, Why string
	Findings, Lines    []string
	Trace              []string
}

// HTML writes the report as one page that needs nothing else: a matrix a type of
// socket, whose cells open the cases of two peers, and their transcripts.
func (r *Report) HTML(w io.Writer) error {
	rows := []row{}
	for _, c := range r.Cases {
		next := row{Name: c.Name, Verdict: string(c.Verdict), Why: c.Why, Lines: c.Transcript, Trace: Trace(c)}
		for _, f := range c.Findings {
			next.Findings = append(next.Findings, f.String())
		}
		if c.Verdict == interop.Expected {
			next.Findings = append(next.Findings, c.Reasons...)
		}
		rows = append(rows, next)
	}
	return pageTemplate.Execute(w, map[string]any{"Report": r.head(), "Cases": rows, "Types": interop.SocketTypes, "Kernel": interop.KernelName})
}
