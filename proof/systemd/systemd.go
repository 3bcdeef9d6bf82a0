//go:build linux

// Package systemd boots real versions of systemd in emulated machines, and checks the packages that work with it there.
//
//	units/       the unit files and system.conf of every machine
//	driver/      what the drivers share, and the description of a directory of checks
//	wire/        the checks of package wire
//	handover/    the checks of package handover
//
// A directory that has a plan.txt is a directory of checks, and has a driver that runs them. Each version of systemd
// has a machine, in which the drivers run one after the other. The versions are listed in proof/target/systemd.txt. The
// output ends with a table of the results. If a version of systemd is too old for a check, the table gives the version
// that is needed. Prove fails if a check failed or printed no result, if it passed on a version that is too
// old for it, or if no version was run. With CI=true, it is also an error if a version was not run.
package systemd

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/proof/machine"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
	"github.com/scm-rights/scm/proof/target"
)

//go:embed units */units */plan.txt
var embedded embed.FS

// Options select what Prove runs.
type Options struct {
	Versions []string       // of systemd; none: all
	Checks   *regexp.Regexp // their names
	Quick    bool           // only the quick ones
}

// A group is a directory of checks.
type group struct {
	dir string
	driver.Plan
}

// groups returns the directories of which some checks are selected, with these checks.
func groups(o Options) (list []group) {
	for _, name := range must.Get(fs.Glob(embedded, "*/plan.txt")) {
		plan := driver.ParsePlan(name, must.Get(embedded.ReadFile(name)))
		plan.Checks = slices.DeleteFunc(plan.Checks, func(c driver.Check) bool {
			return o.Quick && !c.Quick || o.Checks != nil && !o.Checks.MatchString(c.Name)
		})
		if len(plan.Checks) > 0 {
			list = append(list, group{path.Dir(name), plan})
		}
	}
	return list
}

// Prove runs the selected checks.
func Prove(o Options) {
	list := target.Systemds()
	for _, v := range o.Versions {
		if !slices.ContainsFunc(list, func(s target.Systemd) bool { return s.Version == v }) {
			must.Failf("proof/target/systemd.txt has no systemd %s", v)
		}
	}
	groups := groups(o)
	t := tally{notes: []string{""}}
	for _, g := range groups {
		for _, c := range g.Checks {
			t.rows = append(t.rows, []string{c.Name})
		}
	}
	for _, s := range list {
		if len(o.Versions) > 0 && !slices.Contains(o.Versions, s.Version) {
			continue
		}
		if err := t.run(s, groups); err != nil {
			t.missing++
			fmt.Printf("systemd %s: %v\n", s.Version, err)
		}
	}
	t.print()
	if len(t.ran) == 0 || len(groups) == 0 {
		must.Failf("nothing was run")
	}
	if t.failures > 0 || t.missing > 0 && os.Getenv("CI") == "true" {
		must.Failf("%d failed, %d not run", t.failures, t.missing)
	}
}

// A tally is the results of all machines.
type tally struct {
	ran                              []target.Systemd
	rows                             [][]string // one for each check: its name, and the results
	notes                            []string
	passes, lacks, failures, missing int
}

// run runs the checks on one version of systemd. The error is that the version cannot be run.
func (t *tally) run(s target.Systemd, groups []group) error {
	var console string
	err := must.Try(func() { run(s, groups, &console) })
	if errors.Is(err, target.ErrMissing) {
		return err
	}
	t.ran = append(t.ran, s)
	var failed []string
	if err := errors.Join(err, isVersion(s.Version, console)); err != nil {
		failed = append(failed, err.Error())
	}
	row := 0
	for _, g := range groups {
		for _, c := range g.Checks {
			result := c.Judge(number(s), console)
			switch {
			case result == driver.Passed:
				t.passes++
			case strings.HasPrefix(result, driver.Lacked):
				t.lacks++
			default:
				failed = append(failed, c.Name+": "+result)
				result = "FAILED"
			}
			t.rows[row] = append(t.rows[row], result)
			row++
		}
	}
	if len(failed) > 0 {
		fmt.Printf("systemd %s, the console:\n%s\nsystemd %s failed:\n\t%s\n", s.Version, console, s.Version, strings.Join(failed, "\n\t"))
	}
	t.failures += len(failed)
	for _, note := range driver.Notes(console) {
		t.notes = append(t.notes, "systemd "+s.Version+": "+note)
	}
	return nil
}

// number returns the version as a number. The tests of the table verify that it is one.
func number(s target.Systemd) int {
	n, _ := strconv.Atoi(s.Version)
	return n
}

// print prints the table, the notes and the sums.
func (t *tally) print() {
	const first, next = "%-48s", "%-42s"
	fmt.Printf("\n"+first, "")
	for _, s := range t.ran {
		fmt.Printf(next, "systemd "+s.Version+", Linux "+s.Kernel)
	}
	for _, row := range t.rows {
		fmt.Printf("\n"+first, row[0])
		for _, result := range row[1:] {
			fmt.Printf(next, result)
		}
	}
	fmt.Println(strings.Join(t.notes, "\n"))
	fmt.Printf("systemd: %d checks passed, %d not in their version, %d failed, on %d versions; %d not run\n",
		t.passes, t.lacks, t.failures, len(t.ran), t.missing)
}

// run boots systemd in an emulated machine, and sets console to the output there, which is also written to
// build/systemd/VERSION/console.
func run(s target.Systemd, groups []group, console *string) {
	i := slices.IndexFunc(target.Kernels(), func(k target.Kernel) bool { return k.Name == s.Kernel })
	if i < 0 {
		must.Failf("proof/target/kernels.txt has no kernel %s", s.Kernel)
	}
	kernel := target.Kernels()[i]
	must.Get(target.MachineFor(kernel.Arch))
	tree := machine.Tree{}
	for _, p := range s.Packages {
		tree.Unpack(must.Get(machine.Fetch(p.Path, p.SHA256)))
	}
	mergeUsr(tree)
	addChecks(tree, kernel.Arch, groups)
	dir := filepath.Join("build/systemd", s.Version)
	must.OK(os.MkdirAll(dir, 0o777))
	log := must.Get(os.Create(filepath.Join(dir, "console")))
	defer log.Close()
	m := machine.Machine{Kernel: kernel, Tree: tree, Init: "/usr/lib/systemd/systemd", Log: log}
	// If something is missing, such as a library, systemd hangs. Booting takes a few seconds, and so does a check.
	m.Limit = time.Minute
	for _, g := range groups {
		m.Limit += time.Duration(len(g.Checks)) * time.Minute
	}
	fmt.Printf("systemd %s: the console is written to %s\n", s.Version, log.Name())
	_, err := m.Run()
	fmt.Printf("systemd %s: %v of CPU time\n", s.Version, m.CPU.Round(time.Second))
	*console = string(must.Get(os.ReadFile(log.Name())))
	must.OK(err)
}

// mergeUsr moves the files of /bin, /lib, /lib64 and /sbin to /usr, and makes those folders symbolic links, as Debian
// does. Some packages of Debian 12 still have files in both places.
func mergeUsr(tree machine.Tree) {
	for _, dir := range []string{"bin", "lib", "lib64", "sbin"} {
		for name, file := range tree {
			if name != dir && !strings.HasPrefix(name, dir+"/") {
				continue
			}
			if _, found := tree["usr/"+name]; !found {
				tree["usr/"+name] = file
			}
			delete(tree, name)
		}
		tree.Symlink(dir, "usr/"+dir)
	}
}

// addChecks adds the units, the programs that they run, and the names of the checks.
func addChecks(tree machine.Tree, arch string, groups []group) {
	// Without an ID, systemd treats this as the first start of a new installation.
	tree.Write("etc/machine-id", 0o444, []byte(strings.Repeat("0123456789abcdef", 2)+"\n"))
	delete(tree, "etc/systemd/system.conf") // Debian's
	addUnits(tree, "units")
	var names strings.Builder
	for _, g := range groups {
		for _, c := range g.Checks {
			fmt.Fprintln(&names, c.Name)
		}
		addUnits(tree, path.Join(g.dir, "units"))
		for _, p := range append([]string{"./proof/systemd/" + g.dir}, g.Programs...) {
			addProgram(tree, arch, p)
		}
	}
	tree.Write(driver.File, 0o444, []byte(names.String()))
}

// addUnits adds the files below dir.
func addUnits(tree machine.Tree, dir string) {
	must.OK(fs.WalkDir(embedded, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(name)
		to := "etc/systemd/system" + strings.TrimPrefix(name, dir)
		if entry.Name() == "system.conf" {
			to = "etc/systemd/system.conf"
		}
		if _, found := tree[to]; found {
			return fmt.Errorf("two directories have the unit file %s", entry.Name())
		}
		tree.Write(to, 0o644, text)
		return err
	}))
}

// addProgram builds a program of this module.
func addProgram(tree machine.Tree, arch, pkg string) {
	name := path.Base(pkg)
	dir, pkg := target.Folder(".", pkg)
	if _, found := tree[name]; found {
		must.Failf("two programs are named %s", name)
	}
	bin := must.Get(os.MkdirTemp("", "systemd"))
	defer func() { _ = os.RemoveAll(bin) }()
	file := filepath.Join(bin, name)
	must.Run(target.Go(arch, "", "build", "-C", dir, "-o", file, pkg))
	tree.Copy(name, file)
}

// isVersion returns an error unless the first process said to each driver that it is this version.
func isVersion(version, console string) error {
	list := driver.Versions(console)
	other := func(v string) bool { return !strings.HasPrefix(v+".", version+".") }
	if len(list) == 0 || slices.ContainsFunc(list, other) {
		return fmt.Errorf("the first process says that it is systemd %q", list)
	}
	return nil
}
