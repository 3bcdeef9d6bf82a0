// Package report shows the outcome of an interop run: on the console, and as JSON,
// JUnit, Markdown or HTML in a file.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/scenario"
)

// Schema is the version of the JSON form that schema.json describes. It grows when a
// reader has to change.
const Schema = 2

// A Report is a run, for reading by programs.
type Report struct {
	Schema    int               `json:"schema"`
	Version   string            `json:"version"` // of scm
	System    System            `json:"system"`
	Started   time.Time         `json:"started"`
	Seconds   float64           `json:"seconds"`
	Peers     []Peer            `json:"peers"`
	Totals    Totals            `json:"totals"`    // of the cases of peers
	Kernel    Totals            `json:"kernel"`    // of those of the kernel, which are counted apart
	Witnesses map[string]int    `json:"witnesses"` // how the kernel identified the descriptors
	Aside     []string          `json:"aside"`     // expectations for peers that were not built, or another kernel
	Cut       string            `json:"cut,omitempty"`
	Cases     []scenario.Result `json:"cases"`

	// Replay is what to type to play a case again, up to its name: no form but HTML
	// has it, and none if the run keeps no JSON report.
	Replay string `json:"-"`

	// Awaited are the peers of which the run was to have a verdict, by name. A report that
	// was read has none.
	Awaited map[string]bool `json:"-"`
}

// System is where the run was.
type System struct {
	Kernel  string `json:"kernel"`         // the name that it has for itself
	Kind    string `json:"kind,omitempty"` // which of scenario.KernelKinds it is
	Machine string `json:"machine"`
	User    int    `json:"uid"`
}

// A Peer is who played, or did not.
type Peer struct {
	Name    string   `json:"name"`
	Command []string `json:"command,omitempty"`
	contract.Hello
	NotRun string `json:"not_run,omitempty"` // why
	Totals Totals `json:"totals"`            // of the cases in which it played
}

// Totals count verdicts, and apart from them what is none.
type Totals struct {
	Pass        int `json:"pass"`
	Expected    int `json:"expected"`
	Fail        int `json:"fail"`
	Fixed       int `json:"fixed"`
	Flaky       int `json:"flaky"`
	Unsupported int `json:"unsupported"`
	NotRun      int `json:"not_run"`
}

// Verdicts is how many cases have one.
func (t Totals) Verdicts() int { return t.Pass + t.Expected + t.Unexpected() }

// Unexpected is how many cases are not as expected.
func (t Totals) Unexpected() int { return t.Fail + t.Fixed + t.Flaky }

func (t *Totals) count(v scenario.Verdict) {
	counters := map[scenario.Verdict]*int{
		scenario.Pass: &t.Pass, scenario.Expected: &t.Expected, scenario.Fail: &t.Fail, scenario.UnexpectedPass: &t.Fixed,
		scenario.Flaky: &t.Flaky, scenario.Unsupported: &t.Unsupported, scenario.NotRun: &t.NotRun,
	}
	if n := counters[v]; n != nil {
		*n++
	}
}

// Unexpected is how many cases are not as expected, those of the kernel included.
func (r *Report) Unexpected() int { return r.Totals.Unexpected() + r.Kernel.Unexpected() }

// Verdicts is how many cases have one.
func (r *Report) Verdicts() int { return r.Totals.Verdicts() + r.Kernel.Verdicts() }

// Silent has an error for each peer without a verdict of which the run was to have one.
func (r *Report) Silent() (list []error) {
	for _, p := range r.Peers {
		if r.Awaited[p.Name] && p.Totals.Verdicts() == 0 {
			list = append(list, fmt.Errorf("peer %s: none of its cases has a verdict", p.Name))
		}
	}
	return list
}

// Headline says whether the run was as expected, and if not, what it was. A run whose exit
// status is not 0 is not.
func (r *Report) Headline() string {
	var parts []string
	if r.Unexpected() > 0 {
		parts = append(parts, "not as expected")
	}
	if n := r.Totals.NotRun + r.Kernel.NotRun; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not run", n))
	}
	if parts = append(parts, r.besideCases("cut short")...); len(parts) > 0 {
		return strings.Join(parts, ", ")
	}
	return asExpected
}

const asExpected = "as expected"

// besideCases lists what is wrong with the run, and with none of its cases.
func (r *Report) besideCases(cut string) (list []string) {
	if r.Cut != "" {
		list = append(list, cut)
	}
	if r.Verdicts() == 0 && r.Totals.NotRun+r.Kernel.NotRun == 0 {
		return append(list, "nothing ran")
	}
	for _, err := range r.Silent() {
		list = append(list, err.Error())
	}
	return list
}

// there are the peers that played.
func (r *Report) there() (list []Peer) {
	for _, p := range r.Peers {
		if p.NotRun == "" {
			list = append(list, p)
		}
	}
	return list
}

// Begin makes the report of a run that begins. The runner counts as a peer.
func Begin(version string, peers []*scenario.Peer, x *scenario.Expectations) *Report {
	r := &Report{
		Schema:  Schema,
		Version: version,
		System:  system(),
		Started: time.Now().UTC(),
		Aside:   []string{},
		Cases:   []scenario.Result{},
	}
	for _, e := range x.Aside {
		r.Aside = append(r.Aside, e.String())
	}
	for _, p := range peers {
		r.Peers = append(r.Peers, Peer{Name: p.Name, Command: p.Command, Hello: p.Hello, NotRun: p.Why})
	}
	return r
}

// End takes the outcome.
func (r *Report) End(o scenario.Outcome) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Witnesses = o.Witnesses
	if o.Cut != nil {
		r.Cut = o.Cut.Error()
	}
	r.Cases = append(r.Cases, o.Results...)
	at := map[string]*Totals{}
	for i, p := range r.Peers {
		at[p.Name] = &r.Peers[i].Totals
	}
	for _, c := range r.Cases {
		if c.Kernel() {
			r.Kernel.count(c.Verdict)
			continue
		}
		r.Totals.count(c.Verdict)
		_, _, a, b := split(c.Name)
		for _, name := range slices.Compact([]string{a, b}) {
			if t := at[name]; t != nil {
				t.count(c.Verdict)
			}
		}
	}
}

// split takes the name of a case, GROUP/ID/TYPE/SENDER/RECEIVER, apart.
func split(name string) (scenario, socketType, a, b string) {
	part := strings.Split(name, "/")
	return part[0] + "/" + part[1], part[2], part[3], part[4]
}

// Trace returns the recorded calls of a case, in lines; none if nothing was recorded.
func Trace(c scenario.Result) (lines []string) {
	t := c.Trace
	if t == nil {
		return nil
	}
	_, _, a, b := split(c.Name)
	heads := []string{strings.TrimSpace("played again under the recorder: " + t.Why), "calls of A, " + a + ":", "calls of B, " + b + ":"}
	for i, body := range [][]string{t.Transcript, t.A, t.B} {
		if i > 0 && len(body) == 0 {
			continue
		}
		lines = append(lines, heads[i])
		for _, l := range body {
			lines = append(lines, "  "+l)
		}
	}
	return lines
}
