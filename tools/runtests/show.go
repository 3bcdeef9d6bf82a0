//go:build linux

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/testrecord"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/report"
	"github.com/scm-rights/scm/interop/scenario"
)

// again returns the command that runs a test again.
func (p *running) again(t test) string {
	if len(p.Packages) == 0 {
		if p.TAP {
			return "make -C csrc " + p.Command[len(p.Command)-1]
		}
		return strings.Join(p.Command, " ")
	}
	if p.Exec != "" { // Linux cannot run the test program
		return "make proof-bsd KERNEL=FILE"
	}
	command := strings.Join(append(slices.Clone(p.Env), "go test"), " ")
	if p.Dir != "" {
		command += " -C " + p.Dir
	}
	if p.Tags != "" {
		command += " -tags " + p.Tags
	}
	if t.Package == "" { // the part failed before its packages began
		return command + " " + strings.Join(p.Packages, " ")
	}
	at := path.Join(module, p.Dir)
	if name, ok := strings.CutPrefix(t.Package, at); ok && (p.Dir == "" || name != "") {
		command += " ." + name
	} else {
		command += " " + t.Package
	}
	switch q := p.packages[t.Package]; {
	case t.Name == "" || t.Name == suiteTest:
	case q != nil && q.tests[t.Name] == nil:
		name := t.Name
		if t.result != nil {
			name = t.result.Name
		}
		command += testrecord.Focus(name)
	default:
		command += " -v -run '" + testrecord.Pattern(t.Name) + "'"
	}
	return command
}

// mostShown is how many failed tests of a part are shown with their output. It does not apply to cases of the
// catalogue.
const mostShown = 3

// show prints a failed test, unless it was seen before or enough others were shown.
func (r *run) show(p *running, t test) {
	key := t.Package + " " + t.Name
	if t.State != failed || p.seen[key] || r.interrupted != nil && !p.ended {
		return
	}
	p.seen[key] = true
	r.screen.print(r.shown.Text(report.Failure{Part: p.Name, Name: p.Name + ": " + t.title(), Why: t.Why, Again: p.again(t), Case: t.result}))
}

// causeTable returns a table of why cases of the catalogue failed.
func (r *run) causeTable() string {
	all, again := &report.Report{}, map[string]string{}
	for _, p := range r.parts {
		for _, t := range p.tests {
			if t.result != nil {
				all.Cases = append(all.Cases, *t.result)
				if t.State == failed {
					again[t.result.Name] = t.Again
				}
			}
		}
	}
	return all.CauseTable(func(c scenario.Result) string { return again[c.Name] })
}

// clock returns how long the run has taken.
func (r *run) clock() string {
	s := int(time.Since(r.began).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// progress describes the progress of the running parts.
func (r *run) progress() string {
	r.Lock()
	defer r.Unlock()
	var says []string
	for _, p := range r.parts {
		if p.begun && !p.ended {
			says = append(says, p.progress())
		}
	}
	return r.clock() + "  " + strings.Join(says, "; ")
}

func (p *running) progress() string {
	tests, ended, specs, planned := len(p.tap.tests), 0, 0, 0
	for _, q := range p.packages {
		tests += q.ended()
		if t := q.tests[""]; t != nil && t.state != "start" && t.state != "" {
			ended++
		}
		for _, record := range q.records {
			if planned += record.Planned; record.Kind == testrecord.Spec {
				specs++
			}
		}
	}
	switch {
	case tests == 0 && len(p.Packages) > 0 && ended == 0:
		return p.Name + ": compiling"
	case tests == 0 && len(p.Packages) == 0:
		return p.Name + ": running"
	case len(p.Packages) == 0:
		return p.Name + ": " + display.Plural(tests, "test")
	case len(p.packages) == 1 && specs > 0:
		return fmt.Sprintf("%s: %d of %d specs", p.Name, specs, planned)
	}
	return fmt.Sprintf("%s: %s, %d of %d packages", p.Name, display.Plural(tests, "test"), ended, len(p.packages))
}
