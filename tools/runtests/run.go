//go:build linux

package main

import (
	"context"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/report"
)

// A run runs the parts of a plan.
type run struct {
	plan      string
	results   string // RESULTS
	temporary string
	screen    *screen
	began     time.Time
	noC       string          // why C cannot be compiled, or ""
	ctx       context.Context // until an interrupt
	cancel    context.CancelFunc

	sync.Mutex  // for the fields below, and those of the parts
	parts       []*running
	changed     *sync.Cond
	interrupted os.Signal
	errors      []string // of runtests itself
	shown       *report.Failures
	tabled      bool // the table of partners was printed
}

// A running is a part of the plan and its state. It may not have begun.
type running struct {
	part
	begun, ended, cut bool
	skipped           string // why it did not run
	packages          map[string]*goPackage
	names             []string // of the packages, in the order of the patterns
	tap               tapReader
	output            tail   // outside of packages
	failure           string // how the command failed
	group             int    // of its processes
	outputs           []io.Closer
	records, log      string         // a folder, a file
	read              map[string]int // how much of each file of records
	tests             []test
	seen              map[string]bool // the failed tests that show has printed or left out
	start             time.Time
	seconds           float64
}

func newRun(plan string, names []string, from []part) *run {
	r := &run{plan: plan, results: os.Getenv("RESULTS"), shown: report.NewFailures(mostShown), screen: newScreen(os.Stdout)}
	if r.results == "" {
		r.results = "build/test"
	}
	r.changed = sync.NewCond(r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for _, name := range names {
		i := slices.IndexFunc(from, func(p part) bool { return p.Name == name })
		r.parts = append(r.parts, &running{part: from[i], packages: map[string]*goPackage{}, read: map[string]int{}, seen: map[string]bool{}})
	}
	return r
}

// schedule runs the parts in order, up to atOnce at a time, and returns when all have ended.
func (r *run) schedule() {
	r.Lock()
	defer r.Unlock()
	for {
		active, alone, left := 0, false, false
		for _, p := range r.parts {
			if p.begun && !p.ended {
				active, alone = active+1, alone || p.Alone
			}
			left = left || !p.ended
		}
		if !left || active == 0 && r.interrupted != nil {
			return
		}
		if p := r.next(); p != nil && active < atOnce && !alone && (active == 0 || !p.Alone) && r.interrupted == nil {
			p.begun, p.start = true, time.Now()
			go r.runPart(p)
			continue
		}
		r.changed.Wait()
	}
}

// next returns the first part that can begin.
func (r *run) next() *running {
	for _, p := range r.parts {
		if p.begun {
			continue
		}
		waits := slices.ContainsFunc(r.parts, func(o *running) bool { return !o.ended && slices.Contains(p.After, o.Name) })
		if !waits {
			return p
		}
	}
	return nil
}

// skips returns why a part cannot run here.
func (r *run) skips(p *running) string {
	if p.NeedsC && r.noC != "" {
		return r.noC
	}
	if p.Dir == "" {
		return ""
	}
	// go list fails if the go command is too old for this module, and cannot download a newer one.
	out, err := exec.CommandContext(r.ctx, goCommand, "-C", p.Dir, "list", "-m").CombinedOutput()
	if err != nil && r.ctx.Err() == nil && version.Compare("go"+goOf(p.Dir), goEnv("GOVERSION")) > 0 {
		return strings.TrimSpace(string(out))
	}
	return ""
}

var goLine = regexp.MustCompile(`(?m)^go (\S+)`)

// goOf returns the version of Go that a module needs.
func goOf(dir string) string {
	text, _ := os.ReadFile(filepath.Join(dir, "go.mod"))
	if m := goLine.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// asUser returns the command that runs the part as another user, or "".
func (p *running) asUser() string {
	if !p.AsUser {
		return ""
	}
	return os.Getenv("AS_USER")
}

// runPart runs a part.
func (r *run) runPart(p *running) {
	why := r.skips(p)
	if p.Installs && os.Getenv("SETUP") == "0" {
		why = "SETUP=0"
	}
	var err error
	if why == "" {
		err = r.execute(p)
	}
	if p.Installs && err == nil {
		err = r.findCompiler() // it may have been installed
	}
	r.Lock()
	defer r.Unlock()
	p.seconds, p.skipped = time.Since(p.start).Seconds(), why
	if err != nil {
		p.failure = err.Error()
	}
	r.readPart(p)
	p.cut = r.interrupted != nil
	r.finish(p)
	p.ended = true
	r.changed.Broadcast()
}

// note records an error of runtests itself.
func (r *run) note(err error) {
	if err != nil && !slices.Contains(r.errors, err.Error()) {
		r.errors = append(r.errors, err.Error())
	}
}

// finish collects the results of a part that has ended, and prints the counts.
func (r *run) finish(p *running) {
	switch {
	case p.skipped == "SETUP=0":
		p.skipped = ""
		return
	case p.skipped != "":
		t := test{Name: p.Name, State: skipped, Why: p.skipped}
		if p.NeedsC && r.noC != "" && r.noC != noCgo {
			t.Missing = fdtest.Compiler
		}
		p.tests = []test{t}
		if inCI {
			p.tests = append(p.tests, test{Name: p.Name, State: failed, Why: "skipped, which is a failure if CI=true"})
		}
		return
	}
	for _, name := range p.names {
		p.tests = append(p.tests, p.results(p.packages[name])...)
	}
	for _, t := range p.tap.tests {
		if t.State != failed || !p.cut {
			p.tests = append(p.tests, t)
		}
	}
	if p.failure == "" && p.TAP && len(p.tests) == 0 {
		p.failure = "it ran no test"
	}
	if p.failure != "" && !p.cut && !slices.ContainsFunc(p.tests, isFailed) {
		why := p.failure + "\n" + p.output.String() + p.tap.noise.String()
		p.tests = append(p.tests, test{Name: p.Name, State: failed, Why: why})
	}
	for i, t := range p.tests {
		if t.State == failed {
			p.tests[i].Again = p.again(t)
			r.show(p, t)
		}
	}
	if len(p.tests) > 0 {
		r.screen.printf("%s  %s: %v (%.0f s)", r.clock(), p.Name, countOf(p.tests), p.seconds)
	}
	r.printTable(p)
}

// printTable prints the table of the partners when the last part with the catalogue has ended.
func (r *run) printTable(p *running) {
	p.ended = true
	for _, o := range r.parts {
		if strings.HasPrefix(o.Name, "catalogue-") && !o.ended || r.tabled {
			return
		}
	}
	if table, sentence := partnerTable(r.outcomes(), false); table != "" {
		r.tabled = true
		r.screen.print(table + sentence + "\n")
	}
}
