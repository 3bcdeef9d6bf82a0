// Package report presents the outcome of an interop run on the console, and writes it to
// files as JSON, JUnit XML or HTML.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

// Schema is the version of the JSON format that schema.json describes. An incompatible
// change increments it.
const Schema = 2

// A Report describes a run. Its JSON form is for programs.
type Report struct {
	Schema    int            `json:"schema"`
	Version   string         `json:"version"` // of scm
	System    System         `json:"system"`
	Started   time.Time      `json:"started"`
	Seconds   float64        `json:"seconds"`
	Peers     []Peer         `json:"peers"`
	Totals    Totals         `json:"totals"`    // of peer scenarios
	Kernel    Totals         `json:"kernel"`    // of kernel scenarios, which are counted separately
	Witnesses map[string]int `json:"witnesses"` // number of descriptors identified by each method
	Aside     []string       `json:"aside"`     // expected failures of unused peers, other versions or other kernels

	// KernelPasses contains the expected failures that were set aside because this kernel does not fail them,
	// although they are about its release. With StrictKernel, they are unexpected passes instead.
	KernelPasses []string `json:"kernel_passes,omitempty"`
	StrictKernel bool     `json:"strict_kernel,omitempty"`

	LeftOut int `json:"left_out,omitempty"` // number of cases that --run, --skip and --few-pairs left out

	// Unmatched contains an error for each expected failure that applies to no case. It fails the run, unless Part is set.
	Unmatched []string `json:"unmatched,omitempty"`
	Part      bool     `json:"part,omitempty"` // there was a --run or a --skip

	// Given contains the peers of --peer, which the run is about. It has only the cases in which they take part, and those
	// of the runner with itself. If it is empty, the run is about all peers.
	Given    []string `json:"given,omitempty"`
	Control  Totals   `json:"control,omitzero"`    // with Given, of the runner with itself, which Totals does not include
	NoKernel int      `json:"no_kernel,omitempty"` // number of kernel scenarios that the user selected, left out because there was no --kernel

	Cut     string            `json:"cut,omitempty"`     // why the run ended early
	Planned int               `json:"planned,omitempty"` // number of cases that would have run
	Error   string            `json:"error,omitempty"`   // why it ended before its first case
	Cases   []scenario.Result `json:"cases"`

	// Replay is the command that runs a case again. The name of the case must be appended to it. JSON reports do not
	// contain it.
	Replay string `json:"-"`

	// Selected says that the user selected cases. Brief does not list the peers that were not used then.
	Selected bool `json:"-"`

	// Required says for each peer that took part whether it must have at least one verdict.
	Required map[string]bool `json:"required,omitempty"`

	// NotAsked contains the peers that are not built in, and for each the text for its counts in Asked.
	NotAsked map[string]string         `json:"not_asked,omitempty"`
	Asked    map[string]scenario.Asked `json:"asked,omitempty"`

	// NoFiles contains the peers that support no case in which they send or receive a descriptor.
	NoFiles []string `json:"no_files,omitempty"`
}

// System describes the machine of the run.
type System struct {
	Kernel  string `json:"kernel"`         // name and release, as uname reports them
	Kind    string `json:"kind,omitempty"` // one of expected.Kinds
	Machine string `json:"machine"`
	User    int    `json:"uid"`
}

// Identity returns the kernel of the run as expected failures see it.
func (s System) Identity() expected.System {
	_, release, _ := strings.Cut(s.Kernel, " ")
	return expected.System{Kind: cmp.Or(s.Kind, expected.Linux), Release: release}
}

// A Peer describes a peer that took part in the run, or one that was not used.
type Peer struct {
	Name    string   `json:"name"`
	Command []string `json:"command,omitempty"`
	contract.Hello
	NotRun  string  `json:"not_run,omitempty"` // why it was not used
	Totals  Totals  `json:"totals"`            // of its cases
	Seconds float64 `json:"seconds"`           // that its cases took
}

// Totals counts the verdicts, and the cases without a verdict.
type Totals struct {
	Pass        int `json:"pass"`
	Expected    int `json:"expected"`
	Fail        int `json:"fail"`
	Fixed       int `json:"fixed"`
	Flaky       int `json:"flaky"`
	Unsupported int `json:"unsupported"`
	NotRun      int `json:"not_run"`
}

// Verdicts returns the number of cases that have a verdict.
func (t Totals) Verdicts() int { return t.Pass + t.Expected + t.Unexpected() }

// Unexpected returns the number of cases that did not end as expected.
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

// Unexpected returns the number of cases that did not end as expected, in peer scenarios and kernel
// scenarios together.
func (r *Report) Unexpected() int {
	return r.Totals.Unexpected() + r.Kernel.Unexpected() + r.Control.Unexpected()
}

// NotRun returns the number of cases that could not be run.
func (r *Report) NotRun() int { return r.Totals.NotRun + r.Kernel.NotRun + r.Control.NotRun }

// UnmatchedFaults returns the number of expected failures that apply to no case, if they fail the run.
func (r *Report) UnmatchedFaults() int {
	if r.Part {
		return 0
	}
	return len(r.Unmatched)
}

// Verdicts returns the number of cases that have a verdict, in peer scenarios and kernel scenarios together. A control
// that passes says nothing about the peers of a run, so it does not count.
func (r *Report) Verdicts() int { return r.Totals.Verdicts() + r.Kernel.Verdicts() }

// CutText says why the run ended early, and after how many cases.
func (r *Report) CutText() string {
	of := ""
	if r.Planned > 0 {
		of = fmt.Sprintf("%d of ", len(r.Cases))
	}
	return fmt.Sprintf("cut short after %s%s: %s", of, display.Plural(max(r.Planned, len(r.Cases)), "case"), r.Cut)
}

// UntestedPeers returns an error for each required peer that has no verdict, and for each peer in NoFiles.
func (r *Report) UntestedPeers() (list []error) {
	for _, p := range r.Peers {
		switch {
		case r.Required[p.Name] && p.Totals.Verdicts() == 0:
			list = append(list, fmt.Errorf("peer %s: none of its cases has a verdict", p.Name))
		case slices.Contains(r.NoFiles, p.Name):
			list = append(list, fmt.Errorf("peer %s: no case that it supports passes a descriptor", p.Name))
		}
	}
	return list
}

// Headline returns "as expected" if the exit status of the run is 0. Otherwise it summarizes the problems.
func (r *Report) Headline() string {
	var parts []string
	if r.Unexpected() > 0 {
		parts = append(parts, "not as expected")
	}
	if n := r.UnmatchedFaults(); n > 0 {
		parts = append(parts, fmt.Sprintf("%s: %d", unmatchedTitle, n))
	}
	if n := r.NotRun(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not run", n))
	}
	if parts = append(parts, r.runErrors("cut short")...); len(parts) > 0 {
		return strings.Join(parts, ", ")
	}
	return asExpected
}

const asExpected = "as expected"

// runErrors returns the errors of the run that do not belong to a case. If it was cut short, this text is the only one,
// because peers may have had no turn.
func (r *Report) runErrors(cut string) (list []string) {
	switch {
	case r.Error != "":
		return []string{"did not run: " + r.Error}
	case r.Cut != "":
		return []string{cut}
	}
	for _, err := range r.UntestedPeers() {
		list = append(list, err.Error())
	}
	if len(list) == 0 && r.Verdicts() == 0 && r.NotRun() == 0 {
		list = []string{"nothing ran"}
	}
	return list
}

// about returns the names of the peers that the run is about, or "peers" if it is about all of them.
func (r *Report) about() string { return cmp.Or(strings.Join(r.Given, ", "), "peers") }

// usedPeers returns the peers that took part in the run.
func (r *Report) usedPeers() (list []Peer) {
	for _, p := range r.Peers {
		if p.NotRun == "" {
			list = append(list, p)
		}
	}
	return list
}

// Begin returns a report for a run that is about to start. The runner counts as a peer.
func Begin(version string, peers []*scenario.Peer, x *scenario.Expectations) *Report {
	r := &Report{
		Schema:  Schema,
		Version: version,
		System:  system(),
		Started: time.Now().UTC(),
		Peers:   []Peer{},
		Aside:   []string{},
		Cases:   []scenario.Result{},

		StrictKernel: x.StrictKernel,
	}
	for _, e := range x.Aside {
		r.Aside = append(r.Aside, e.String())
	}
	for _, p := range peers {
		r.Peers = append(r.Peers, Peer{Name: p.Name, Command: p.Command, Hello: p.Hello, NotRun: p.Why})
	}
	return r
}

// End adds the result of the run to the report.
func (r *Report) End(result scenario.RunResult) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Witnesses = result.Witnesses
	if result.Cut != nil {
		r.Cut = result.Cut.Error()
	}
	if result.Broken != nil {
		r.Error = result.Broken.Error()
	}
	r.Cases = append(r.Cases, result.Results...)
	r.count()
}

// count sets the totals.
func (r *Report) count() {
	peers := map[string]*Peer{}
	for i, p := range r.Peers {
		peers[p.Name] = &r.Peers[i]
	}
	for _, c := range r.Cases {
		r.KernelPasses = append(r.KernelPasses, c.KernelPasses...)
		if c.Kernel() {
			r.Kernel.count(c.Verdict)
			continue
		}
		if len(r.Given) > 0 && c.Control() {
			r.Control.count(c.Verdict)
			continue
		}
		r.Totals.count(c.Verdict)
		_, _, a, b := splitCaseName(c.Name)
		for _, name := range slices.Compact([]string{a, b}) {
			if p := peers[name]; p != nil {
				p.Totals.count(c.Verdict)
				p.Seconds += c.Seconds
			}
		}
	}
	slices.Sort(r.KernelPasses)
	r.KernelPasses = slices.Compact(r.KernelPasses)
}

// CountAsked sets Asked and the texts of NotAsked. The arguments are those of [scenario.CountAsked].
func (r *Report) CountAsked(cases []scenario.Case, obstacle func(scenario.Case) scenario.Obstacle) {
	asked, texts := map[string]scenario.Asked{}, map[string]string{}
	for name := range r.NotAsked {
		asked[name] = scenario.CountAsked(name, cases, obstacle)
		texts[name] = asked[name].String()
	}
	r.Asked, r.NotAsked = asked, texts
}

// partlyAsked returns the peers of which some cases have no verdict, and for each a sentence: how its cases ended, and
// why these have none.
func (r *Report) partlyAsked() (peers, sentences []string) {
	for _, p := range r.Peers {
		if text := r.NotAsked[p.Name]; text != "" {
			peers = append(peers, p.Name)
			sentences = append(sentences, p.Name+": "+counts(p.Totals)+"; "+text+".")
		}
	}
	return peers, sentences
}

// splitCaseName splits the name of a case, GROUP/ID/TYPE/SENDER/RECEIVER.
func splitCaseName(name string) (scenario, socketType, a, b string) {
	part := strings.Split(name, "/")
	return part[0] + "/" + part[1], part[2], part[3], part[4]
}

// Trace returns the recorded system calls of a case as lines. It returns nil if none were recorded.
func Trace(c scenario.Result) (lines []string) {
	t := c.Trace
	if t == nil {
		return nil
	}
	_, _, a, b := splitCaseName(c.Name)
	heads := []string{
		strings.TrimSpace("run again under the recorder: " + t.Why),
		"calls of A, " + a + ":",
		"calls of B, " + b + ":",
	}
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
