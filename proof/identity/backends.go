//go:build linux

package identity

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/proof/golden"
	"github.com/scm-rights/scm/proof/must"
	machines "github.com/scm-rights/scm/proof/target"
)

// A row contains the results of comparing the backends on one architecture and libc.
type row struct {
	arch, libc   string
	recorded     int   // system calls of each backend
	differential int   // calls of each backend
	control      int   // bytes of control buffers
	differ       int   // bytes that differ
	first        error // the first difference, or the failure that ended the comparison
	missing      error // the tool that this machine lacks
}

// A table contains one row for each architecture and libc to compare.
type table struct{ rows []*row }

func (t *table) row(arch, libc string) *row {
	for _, r := range t.rows {
		if r.arch == arch && r.libc == libc {
			return r
		}
	}
	t.rows = append(t.rows, &row{arch: arch, libc: libc})
	return t.rows[len(t.rows)-1]
}

// backends tests claim (a), and prints the table.
func (p *proof) backends(w workload) {
	var t table
	all := []walk{{seed: 1, calls: w.recorded}, {sizes: true}}
	var base []*recording
	var basePath string
	for i, target := range targets() {
		walks := all
		if w.elsewhere == 0 && i > 1 {
			walks = all[:1] // a brief proof compares all sizes only for this machine's own targets
		}
		path, err := target.build(p.root, p.dir, walkPackage, "")
		recordings := make([]*recording, len(walks))
		for i := 0; i < len(walks) && err == nil; i++ {
			recordings[i], err = walks[i].record(path)
		}
		switch {
		case target.backend == "purego":
			if err != nil {
				must.Failf("%v: %w", target, err)
			}
			base, basePath = recordings, path
			continue
		case err != nil:
			t.row(target.arch, target.libc).failed(err)
			continue
		}
		row := t.row(target.arch, target.libc)
		for i, r := range recordings {
			found, wrong := base[i].against(r, basePath, path)
			row.recorded += r.count()
			row.add(found)
			err = errors.Join(err, wrong)
		}
		calls := w.elsewhere
		if row == t.rows[0] {
			calls = w.differential
		}
		if err == nil && calls > 0 {
			err = must.Try(func() {
				row.differential = runDifftest(p.buildDifftest(target), p.dir, calls)
			})
		}
		if err != nil {
			row.failed(err)
		}
	}
	if w.guest > 0 {
		p.inGuests(&t, w)
	}
	p.golden(&t, w.golden)
	p.print(&t, w)
}

// add adds the differences between two recordings.
func (r *row) add(differences []difference) {
	for _, d := range differences {
		r.differ += d.bytes
		if r.first == nil {
			r.first = errors.New(d.text)
		}
	}
}

func (r *row) failed(err error) {
	switch {
	case errors.Is(err, machines.ErrMissing):
		r.missing = err
	case r.first == nil:
		r.first = err
	}
}

func (p *proof) print(t *table, w workload) {
	const line = "%-8s %-6s %-17s %9s %13s %13s %7s  %s\n"
	p.printf(line, "arch", "libc", "backends", "recorded", "differential", "control bytes", "differ", "")
	var sum row
	var failed error
	recorded, archs, libcs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range t.rows {
		remark := ""
		switch {
		case r.first != nil:
			remark = "first: " + firstLine(r.first)
			if failed == nil {
				failed = fmt.Errorf("%s %s: %w", r.arch, r.libc, r.first)
			}
		case r.missing != nil:
			remark = firstLine(r.missing)
			p.missing++
		}
		p.printf(line, r.arch, r.libc, "cgo, purego",
			cell(r.recorded), cell(r.differential), cell(r.control), commas(r.differ), remark)
		sum.recorded += r.recorded
		sum.differential += r.differential
		sum.differ += r.differ
		if r.recorded > 0 {
			recorded[r.arch] = true
		}
		if r.control > 0 {
			archs[r.arch] = true
		}
		if r.recorded+r.control > 0 {
			libcs[r.libc] = true
		}
	}
	if failed == nil && (sum.recorded == 0 || sum.differential < w.differential || len(archs) == 0) {
		failed = errors.New("nothing was compared")
	}
	verdict := "identical"
	if failed != nil {
		verdict = "not identical"
	}
	p.printf("%s: %s differential calls, %s recorded calls on %d architectures, "+
		"control bytes on %d, %d libcs, %s bytes differ\n",
		verdict, commas(sum.differential), commas(sum.recorded), len(recorded),
		len(archs), len(libcs), commas(sum.differ))
	must.OK(failed)
}

// cell formats a count. A zero means that nothing was compared.
func cell(n int) string {
	if n == 0 {
		return "-"
	}
	return commas(n)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// buildDifftest builds the test binary of proof/difftest for a target, and returns its path.
func (p *proof) buildDifftest(t target) string {
	bin := filepath.Join(p.dir, "difftest-"+t.arch+"-"+t.libc)
	args := append([]string{"test", "-C", filepath.Join(p.root, "proof"), "-c", "-vet=off", "-o", bin}, append(slices.Clone(t.flags), "./difftest")...)
	must.Run(machines.Go(t.arch, t.cc, args...))
	return bin
}

// compared is what TestWalk of proof/difftest prints.
var compared = regexp.MustCompile(`: (\d+) calls, 0 differ, (?s:.*)\n--- PASS: TestWalk `)

// runDifftest runs the tests of proof/difftest, which compares the backends in one process, for the given number of
// calls. It returns the number of calls that they have compared. It also runs in guests, which have no go command.
func runDifftest(bin, dir string, calls int) int {
	cmd := exec.Command(bin, "-test.run=^TestWalk$", "-test.v", "-test.timeout=2h")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SCM_DIFFTEST_CALLS="+strconv.Itoa(calls), "SCM_DIFFTEST_SEED=1")
	out := must.Run(cmd)
	if _, why, isMissing := strings.Cut(out, ": missing: "); isMissing {
		must.Failf("%w: %s", machines.ErrMissing, why)
	}
	m := compared.FindStringSubmatch(out)
	if m == nil {
		must.Failf("difftest printed no number of calls\n%s", out)
	}
	return must.Get(strconv.Atoi(m[1]))
}

// golden compares control buffers on the given architectures, or on all architectures if archs is empty.
func (p *proof) golden(t *table, archs []string) {
	for _, g := range golden.Compare(archs) {
		if g.Err != nil {
			t.row(g.Arch, g.Libc).failed(fmt.Errorf("control bytes %w", g.Err))
			continue
		}
		t.row(g.Arch, g.Libc).control = g.Bytes
	}
}
