//go:build linux

package kernels

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/catalogue"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// The page, which also keeps the results.
const pageFile = "proof/kernels/testdata/results.md"

func (r *record) file() string { return filepath.Join(out, r.Name+".json") }

// Keep writes the page. For a kernel whose last run was complete and had no problems, it uses the results of that run,
// and otherwise those on the page.
func Keep() {
	old := kept(pageFile)
	var list []record
	for _, k := range target.Kernels() {
		r := old[k.Name]
		text, err := os.ReadFile((&record{Name: k.Name}).file())
		if err == nil {
			r = record{} // otherwise, the maps would keep what the new record lacks
			err = json.Unmarshal(text, &r)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			must.OK(err)
		}
		if r.Name == "" {
			fmt.Printf("kernels: %s has no results yet\n", k.Name)
			continue
		}
		list = append(list, r)
		if a := list[0]; a.Kernel.ran() != r.Kernel.ran() {
			must.Failf("%s ran %d kernel cases, and %s %d: run make proof-kernels", a.Name, a.Kernel.ran(), r.Name, r.Kernel.ran())
		}
	}
	must.OK(os.WriteFile(pageFile, []byte(page(list)), 0o666))
}

func (c *cases) ran() int { return c.Verdicts() + c.Unsupported }

func writeJSON(file string, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // releases contain < and >
	enc.SetIndent("", "\t")
	return errors.Join(enc.Encode(v), os.WriteFile(file, text.Bytes(), 0o666))
}

var (
	kernelRow   = regexp.MustCompile(`(?m)^\| (\S+) \| (\S+) \| (\S*) \| (\d+) \| (\d+) \| (\d+) \| (?:(\d+) \| (\d+) \| (\d+)|\| \|) \|$`)
	scenarioRow = regexp.MustCompile("(?m)^\\| `(.*?)` \\| ([^`]*?) \\| (\\w+) \\| (.*) \\|$")
)

// kept returns the records on a page, by kernel name.
func kept(file string) map[string]record {
	page := must.Get(os.ReadFile(file))
	ofPeers := map[string]bool{}
	for _, s := range must.Get(catalogue.Scenarios()) {
		ofPeers[s.Name] = !s.Kernel()
	}
	byName := map[string]record{}
	var all, withPeers []string
	number := func(text string) int {
		n, _ := strconv.Atoi(text) // the row has only digits there
		return n
	}
	for _, m := range kernelRow.FindAllStringSubmatch(string(page), -1) {
		counted := func(m []string) (c cases) {
			c.Pass, c.Expected, c.Unsupported, c.Rules = number(m[0]), number(m[1]), number(m[2]), map[string][]string{}
			return c
		}
		r := record{Name: m[1], Arch: m[2], Release: m[3], Kernel: counted(m[4:7])}
		all = append(all, r.Name)
		if m[7] != "" {
			c := counted(m[7:10])
			r.Peers, withPeers = &c, append(withPeers, r.Name)
		}
		byName[r.Name] = r
	}
	for _, m := range scenarioRow.FindAllStringSubmatch(string(page), -1) {
		rule := m[3] + ": " + strings.ReplaceAll(m[4], "\\|", "|")
		for _, kernel := range kernelsIn(m[2], all, withPeers) {
			r := byName[kernel]
			for _, name := range strings.Split(m[1], "`, `") {
				parts := strings.SplitN(name, "/", 3)
				rules := r.Kernel.Rules
				if ofPeers[strings.Join(parts[:min(2, len(parts))], "/")] && r.Peers != nil {
					rules = r.Peers.Rules
				}
				rules[rule] = append(rules[rule], name)
				slices.Sort(rules[rule]) // a rule can have several rows
			}
		}
	}
	return byName
}

// kernelsIn returns the kernels in a cell.
func kernelsIn(cell string, all, withPeers []string) []string {
	switch cell {
	case everyKernel:
		return all
	case everyAMD64:
		return withPeers
	}
	return strings.Split(cell, ", ")
}

// The cells for all kernels, and for all with results of peers.
const everyKernel, everyAMD64 = "all", "all on amd64"

// withReleases returns the reasons of expected failures, each after the releases of Linux that it has in expected.txt.
func withReleases(reasons []string) string {
	list, _ := catalogue.Expected(expected.Linux) // the tests of the catalogue verify that it can be parsed
	var all []string
	for _, reason := range reasons {
		var releases []string
		for _, l := range list {
			if l.Reason == reason && l.Noted() && !slices.Contains(releases, l.Versions) {
				releases = append(releases, l.Versions)
			}
		}
		if len(releases) > 0 {
			reason = "Linux " + strings.Join(releases, ", ") + ": " + reason
		}
		all = append(all, reason)
	}
	return strings.Join(all, "; ")
}

// byRule groups cases by rule. If all cases of a scenario have the same rule, the name of the scenario replaces theirs.
func byRule(rules map[string]string) map[string][]string {
	scenarios := map[string][]string{} // the cases of each
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		s := name[:strings.LastIndex(name, "/")]
		scenarios[s] = append(scenarios[s], name)
	}
	groups := map[string][]string{}
	for s, names := range scenarios {
		if !slices.ContainsFunc(names, func(name string) bool { return rules[name] != rules[names[0]] }) {
			groups[rules[names[0]]] = append(groups[rules[names[0]]], s)
			continue
		}
		for _, name := range names {
			groups[rules[name]] = append(groups[rules[name]], name)
		}
	}
	delete(groups, "") // the cases that passed
	for _, list := range groups {
		slices.Sort(list)
	}
	return groups
}

// compare compares a run with the page. With CI=true, a difference is a problem.
func (r *run) compare(page record) {
	list := differences(page, r.record)
	if r.cpu == 0 || r.missing != nil || len(r.problems) > 0 || len(list) == 0 {
		return
	}
	text := pageFile + " has no results for this kernel"
	if page.Name != "" {
		text = pageFile + " has other results:\n\t" + strings.Join(list, "\n\t")
	}
	text += "\nmake proof-kernels KEEP=1 writes the results of make proof-kernels to the page"
	if inCI() {
		r.problems = append(r.problems, text)
	} else {
		fmt.Printf("%s: %s\n", r.Name, text)
	}
}

// differences returns the lines in which two records differ, in the form of a diff.
func differences(kept, ours record) (list []string) {
	if ours.Peers == nil {
		kept.Peers = nil
	}
	lines := func(r record) []string {
		text, _ := json.MarshalIndent(r, "", " ") // a record can always be marshaled
		return strings.Split(string(text), "\n")
	}
	a, b := lines(kept), lines(ours)
	for sign, side := range map[string][2][]string{"-": {a, b}, "+": {b, a}} {
		for _, line := range side[0] {
			if !slices.Contains(side[1], line) {
				list = append(list, sign+line)
			}
		}
	}
	slices.Sort(list)
	if len(list) == 0 && !slices.Equal(a, b) {
		list = append(list, "the same lines in another order")
	}
	return list
}

const intro = `# Kernels

` + "`make proof-kernels`" + ` boots Debian kernels in emulated machines (QEMU). In each machine it runs the [kernel scenarios](../../../interop/catalogue/kernel/README.md), the specs of ` + "`fdchannel`" + ` on both backends, the programs of a release (` + "`make dist`" + `) and, on amd64, the built-in peers. Unlike under qemu-user, the programs make their system calls to a real kernel of their own architecture. The kernels are listed in [kernels.txt](../../target/kernels.txt), and the machines in [machines.txt](../../target/machines.txt).

` + "`make proof-kernels KEEP=1`" + ` generates this page from the results. CI boots one kernel, and compares its results with this page. For gVisor, see [expected-gvisor.txt](../../../interop/catalogue/expected-gvisor.txt).

## Results

An *expected* case failed as [expected.txt](../../../interop/catalogue/expected.txt) says. An *unsupported* case needs something that the kernel or a peer lacks. There were no other results.

| kernel | architecture | release | kernel cases: pass | expected | unsupported | peer cases: pass | expected | unsupported |
|---|---|---|---|---|---|---|---|---|
`

const differ = `
## Scenarios that do not pass everywhere

Peer scenarios are listed if they fail or are unsupported even with the runner in both roles. A name without a type of socket stands for all types that the scenario has.

| scenarios | kernels | result | reason |
|---|---|---|---|
`

// page returns the text of the page.
func page(list []record) string {
	text := intro
	type row struct{ kernels, rule string }
	scenarios := map[row][]string{}
	where := map[[2]string][]string{} // the kernels, by scenario and rule
	var withPeers, all []string
	for _, r := range list {
		peers := "| |"
		all = append(all, r.Name)
		if r.Peers != nil {
			withPeers = append(withPeers, r.Name)
			peers = r.Peers.row()
		}
		text += fmt.Sprintf("| %s | %s | %s | %s | %s |\n", r.Name, r.Arch, r.Release, r.Kernel.row(), peers)
		for _, c := range []*cases{&r.Kernel, r.Peers} {
			if c == nil {
				continue
			}
			for rule, names := range c.Rules {
				for _, name := range names {
					where[[2]string{name, rule}] = append(where[[2]string{name, rule}], r.Name)
				}
			}
		}
	}
	for key, kernels := range where {
		at := row{strings.Join(kernels, ", "), key[1]}
		scenarios[at] = append(scenarios[at], "`"+key[0]+"`")
	}
	text += differ
	for _, at := range slices.SortedFunc(maps.Keys(scenarios), func(a, b row) int { return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.kernels, b.kernels)) }) {
		names := scenarios[at]
		slices.Sort(names)
		kernels := at.kernels
		switch kernels {
		case strings.Join(all, ", "):
			kernels = everyKernel
		case strings.Join(withPeers, ", "):
			kernels = everyAMD64
		}
		result, reason, _ := strings.Cut(at.rule, ": ")
		text += fmt.Sprintf("| %s | %s | %s | %s |\n", strings.Join(names, ", "), kernels, result, strings.ReplaceAll(reason, "|", "\\|"))
	}
	return text
}

func (c *cases) row() string {
	return fmt.Sprintf("%d | %d | %d", c.Pass, c.Expected, c.Unsupported)
}
