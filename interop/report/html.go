package report

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

//go:embed page.html
var page string

// html/template escapes data inside a script as JavaScript.
var pageTemplate = template.Must(template.New("page").Parse(page))

// A pageCase contains the data of one case for the page.
type pageCase struct {
	Name, Verdict string
	Why           string   `json:",omitempty"`
	Findings      []string `json:",omitempty"`
	Reasons       []string `json:",omitempty"` // why the failure was expected
	Lines         []string `json:",omitempty"`
	Facts         []string `json:",omitempty"`
	Trace         []string `json:",omitempty"`
}

// maxCauses is the number of causes that the page shows at first.
const maxCauses = 12

// HTML writes the report as one self-contained page. It begins with the verdict and the causes as sentences,
// followed by a matrix for each type of socket. Clicking a cell shows the cases with that sender and receiver. Each
// case is shown with its findings, its transcript and the command that runs it again.
func (r *Report) HTML(w io.Writer) error {
	r = r.abbreviated()
	cases := []pageCase{}
	rules := map[string][]string{} // by the name of the scenario
	for _, c := range r.Cases {
		next := pageCase{Name: c.Name, Verdict: c.Verdict.String(), Why: c.Why, Lines: c.Transcript, Trace: Trace(c)}
		for _, f := range c.Findings {
			next.Findings = append(next.Findings, f.String())
		}
		// c.Facts repeats a finding about several descriptors for each of them
		next.Facts = slices.Compact(slices.Clone(c.Facts))
		next.Reasons = expectedReasons(c)
		if len(next.Facts) > 0 {
			next.Lines = nil // Facts contains them
		}
		cases = append(cases, next)
		if s := c.Case.Scenario; s != nil { // nil if the report was read from a file
			rules[s.Name] = s.Rule
		}
	}
	others := []string{} // peers that the page lists in one line
	for _, p := range r.Peers {
		if notAsked[p.NotRun] {
			others = append(others, p.Name)
		}
	}
	causes := r.Causes()
	shown := min(len(causes), maxCauses)
	replay := r.Replay
	if replay == "" {
		replay = "scm interop replay REPORT.json#" // an example, because the run wrote no JSON report
	}
	_, partly := r.partlyAsked()
	return pageTemplate.Execute(w, map[string]any{
		"Report":     r.withoutCases(),
		"About":      r.about(),
		"Cases":      cases,
		"Rules":      rules,
		"Replay":     replay,
		"Lists":      r.lineLists(),
		"Cut":        r.CutText(),
		"Causes":     causes[:shown],
		"MoreCauses": causes[shown:],
		"Expected":   r.ExpectedFailures(),
		"NotAsked":   notAsked,
		"Partly":     partly,
		"Others":     strings.Join(others, ", "),
		"Mark":       fact.Mark,
		"Types":      contract.SocketTypes,
		"Kernel":     scenario.KernelName,
	})
}
