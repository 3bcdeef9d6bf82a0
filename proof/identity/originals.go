//go:build linux

package identity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/scm-rights/scm/internal/recorder"
	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/proof/must"
)

// A peer that is not part of the interop suite. buildPeers builds it itself.
const sendFile = "scm-sendfile"

// buildPeers builds all peers on the originals and on scm. For each peer it returns the command, or
// the reason why it could not be built.
func (p *proof) buildPeers() (commands map[string][]string, why map[string]string) {
	commands, why = map[string][]string{}, map[string]string{}
	var names []string
	for _, o := range originals {
		for _, name := range append(o.ours, o.theirs) {
			if name != sendFile && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	out := filepath.Join(p.root, "build", "peers")
	for _, b := range peers.Build(context.Background(), p.root, out, names, io.Discard) {
		commands[b.Name], why[b.Name] = b.Command, b.Why
	}
	bin := filepath.Join(p.dir, sendFile)
	build := exec.Command("go", "build", "-C", filepath.Join(p.root, "proof"), "-o", bin, "./identity/sendfile")
	if text, err := build.CombinedOutput(); err != nil {
		why[sendFile] = fmt.Sprintf("%v\n%s", err, text)
	}
	commands[sendFile] = []string{bin}
	return commands, why
}

// originals tests claim (b), and prints a table of the originals.
func (p *proof) originals() {
	commands, why := p.buildPeers()
	const line = "%-44s %-17s %6s %11s %13s  %s\n"
	p.printf(line, "original", "scm's", "calls", "departures", "undocumented", "")
	var failed error
	total, documented, run := 0, 0, map[string]bool{}
	for _, o := range originals {
		rows, allowed := o.departures(p.root)
		if why[o.theirs] != "" {
			p.missing++
			p.printf(line, o.name, "", "-", "-", "-", "not run: "+firstLine(errors.New(why[o.theirs])))
			continue
		}
		for _, ours := range o.ours {
			if why[ours] != "" {
				p.missing++
				p.printf(line, o.name, ours, "-", "-", "-", "not run: "+firstLine(errors.New(why[ours])))
				continue
			}
			performances, err := o.perform(commands[o.theirs], commands[ours])
			a := newAudit(rows, allowed, performances)
			wrong := a.wrong()
			if err != nil {
				wrong = append(wrong, err)
			}
			remark := ""
			if len(wrong) > 0 {
				remark = wrong[0].Error()
			}
			for _, err := range wrong {
				failed = errors.Join(failed, fmt.Errorf("%s against %s: %w", o.name, ours, err))
			}
			p.printf(line, o.name, ours, commas(a.calls), commas(len(rows)), commas(len(wrong)), remark)
			total += a.calls
			run[o.name] = true
		}
		documented += len(rows)
	}
	failed = errors.Join(failed, must.Try(func() { p.mycat(commands["scm-purego"]) }))
	if total == 0 {
		failed = errors.Join(failed, errors.New("nothing was compared with any original"))
	}
	verdict := "as documented"
	if failed != nil {
		verdict = "not as documented"
	}
	p.printf("%s: %s calls compared with %d originals, %d departures\n", verdict, commas(total), len(run), documented)
	must.OK(failed)
}

// An audit compares an original with one of scm's peers, and checks the differences against the
// rows of docs/trust.md.
type audit struct {
	rows         []*departure
	allowed      []*recorder.Allowance // the differences that scm diff has to allow
	calls        int                   // made by scm's peer
	found        map[string]bool       // the texts of the rows, and the allowed differences, that were found
	listed       map[*departure]bool   // the rows with a difference that is allowed
	undocumented []error               // the differences that have no row
	reported     map[string]bool       // what undocumented contains
}

// A performance is a scene on one type of socket, with both peers.
type performance struct {
	scene         scene
	original, scm *stage
}

// perform performs all scenes. If one fails, perform returns those before it.
func (o *original) perform(theirs, ours []string) (list []performance, err error) {
	err = must.Try(func() {
		for _, sc := range o.scenes {
			for _, socketType := range sc.socketTypes {
				original := perform(theirs, "", socketType, sc.actions)
				list = append(list, performance{sc, original, perform(ours, o.sendFlags, socketType, sc.actions)})
			}
		}
	})
	return list, err
}

func newAudit(rows []*departure, allowed []string, performances []performance) *audit {
	a := &audit{rows: rows, found: map[string]bool{}, listed: map[*departure]bool{}, reported: map[string]bool{}}
	for _, line := range allowed {
		a.allowed = append(a.allowed, must.Get(recorder.ParseAllowance(line)))
	}
	for _, p := range performances {
		a.compare(&p.scene, p.original, p.scm)
	}
	return a
}

func (a *audit) compare(sc *scene, original, scm *stage) {
	comparison := exactly
	comparison.Describe = describe
	var differences []*recorder.Difference
	for i := range max(len(original.calls), len(scm.calls)) {
		theirs, ours := at(original.calls, i), at(scm.calls, i)
		differences = append(differences, comparison.All(theirs, ours)...)
		a.calls += len(ours)
	}
	same := slices.Equal(original.outcome, scm.outcome)
	theirs, ours := fmt.Sprintf("%q", original.outcome), fmt.Sprintf("%q", scm.outcome)
	// After a departure, the two peers make different calls. A departure need not show on all types of sockets.
	if same || sc.departure == "" {
		if len(slices.Concat(scm.calls...)) == 0 {
			a.undocumented = append(a.undocumented, fmt.Errorf("no call was recorded for %s", ours))
		}
		for _, d := range differences {
			a.compareField(d)
		}
	}
	if same {
		return
	}
	for _, row := range a.rows {
		if row.text == sc.departure {
			a.found[row.text] = true
			return
		}
	}
	a.report(cmp.Or(sc.departure, "the outcome of a scene without a departure"), theirs, ours)
}

func (a *audit) compareField(d *recorder.Difference) {
	key := d.Key()
	for _, row := range a.rows {
		about, right := row.covers(key, d)
		if about && right {
			a.found[row.text] = true
			for _, line := range a.allowed {
				if line.Allows(d) {
					a.found[line.String()], a.listed[row] = true, true
				}
			}
			return
		}
	}
	a.report(key, d.TextA, d.TextB)
}

// report records a difference that has no row, once.
func (a *audit) report(what, theirs, ours string) {
	if !a.reported[what] {
		a.reported[what] = true
		a.undocumented = append(a.undocumented,
			fmt.Errorf("%s: %s against %s, which docs/trust.md does not list", what, theirs, ours))
	}
}

// wrong returns the differences that have no row, and the rows and lines whose difference was not found. It also
// returns the rows that need a line, but have none.
func (a *audit) wrong() []error {
	wrong := a.undocumented
	for _, row := range a.rows {
		if !a.found[row.text] {
			wrong = append(wrong, fmt.Errorf("docs/trust.md lists a difference that was not found: %s", row.text))
		} else if row.predictable() && !a.listed[row] {
			wrong = append(wrong, fmt.Errorf("docs/trust.md has no --allow line for a row: %s", row.text))
		}
	}
	for _, line := range a.allowed {
		if !a.found[line.String()] {
			wrong = append(wrong, fmt.Errorf("docs/trust.md has an --allow line for a difference that was not found: %v", line))
		}
	}
	return wrong
}

// describe returns the name of the stage's file that a descriptor refers to, or the kind of any
// other file. If the descriptor was not open or not looked up, it returns the descriptor itself.
func describe(fd int32, f *recorder.File) string {
	if f != nil && f.Open() {
		return fileName(f.Name)
	}
	return fmt.Sprint(fd)
}
