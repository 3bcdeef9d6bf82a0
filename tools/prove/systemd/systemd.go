//go:build linux

// Package systemd boots real versions of systemd in emulated machines, and checks that package wire works with them.
//
//	units/    the unit files and system.conf of the machine
//	probe/    the program that the units run, which prints the results
//
// The versions are listed in internal/target/systemd.txt. The output ends with a table of the results. If a version of
// systemd is too old for a check, the table gives the version that is needed. Prove returns an error if a check failed or
// printed no result, if it passed on a version that is too old for it, or if no version was run. With CI=true, it is also
// an error if a version was not run.
package systemd

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/target"
	"github.com/scm-rights/scm/tools/prove/machine"
)

//go:embed units
var units embed.FS

// parts lists the checks of probe, each with the version of systemd that introduced the feature, or 0 if all versions in
// the table have it (https://github.com/systemd/systemd/blob/main/NEWS). LISTEN_PIDFDID also needs Linux 6.9.
var parts = []struct {
	name  string
	since int
}{
	{"examples/fdstore", 0},
	{"NotifyStore", 0},
	{"NotifyRemove", 0},
	{"store is closed on stop", 0},
	{"FileDescriptorStorePreserve", 254},
	{"NotifyBarrier", 0},
	{"LISTEN_FDS of two socket units", 0},
	{"LISTEN_PIDFDID", 259},
}

// The results of a check. Any other text describes a failure.
const (
	passed = "ok"
	lacked = "not in systemd "
)

// Prove runs the given versions of systemd, or all of them.
func Prove(versions []string) error {
	list := target.Systemds()
	for _, v := range versions {
		if !slices.ContainsFunc(list, func(s target.Systemd) bool { return s.Version == v }) {
			return fmt.Errorf("internal/target/systemd.txt has no systemd %s", v)
		}
	}
	var ran []target.Systemd
	results := map[string][]string{}
	passes, lacks, failures, missing := 0, 0, 0, 0
	for _, s := range list {
		if len(versions) > 0 && !slices.Contains(versions, s.Version) {
			continue
		}
		console, err := run(s)
		if errors.Is(err, target.ErrMissing) {
			missing++
			fmt.Printf("systemd %s: %v\n", s.Version, err)
			continue
		}
		var failed []string
		if err := errors.Join(err, isVersion(s.Version, console)); err != nil {
			failed = append(failed, err.Error())
		}
		for i, result := range judge(s.Version, console) {
			switch {
			case result == passed:
				passes++
			case strings.HasPrefix(result, lacked):
				lacks++
			default:
				failed = append(failed, parts[i].name+": "+result)
				result = "FAILED"
			}
			results[s.Version] = append(results[s.Version], result)
		}
		if len(failed) > 0 {
			fmt.Printf("systemd %s, the console:\n%s\nsystemd %s failed:\n\t%s\n", s.Version, console, s.Version, strings.Join(failed, "\n\t"))
		}
		failures += len(failed)
		ran = append(ran, s)
	}
	printTable(ran, results)
	fmt.Printf("systemd: %d checks passed, %d not in their version, %d failed, on %d versions; %d not run\n",
		passes, lacks, failures, len(ran), missing)
	if len(ran) == 0 {
		return errors.New("nothing was run")
	}
	if failures > 0 || missing > 0 && os.Getenv("CI") == "true" {
		return fmt.Errorf("%d failed, %d not run", failures, missing)
	}
	return nil
}

func printTable(ran []target.Systemd, results map[string][]string) {
	if len(ran) == 0 {
		return
	}
	const first, next = "%-32s", "%-42s"
	fmt.Printf("\n"+first, "")
	for _, s := range ran {
		fmt.Printf(next, "systemd "+s.Version+", Linux "+s.Kernel)
	}
	for i, p := range parts {
		fmt.Printf("\n"+first, p.name)
		for _, s := range ran {
			fmt.Printf(next, results[s.Version][i])
		}
	}
	fmt.Println()
}

// run boots systemd in an emulated machine, and returns the output on the console, which is also written to
// build/systemd/VERSION/console.
func run(s target.Systemd) (console string, err error) {
	i := slices.IndexFunc(target.Kernels(), func(k target.Kernel) bool { return k.Name == s.Kernel })
	if i < 0 {
		return "", fmt.Errorf("internal/target/kernels.txt has no kernel %s", s.Kernel)
	}
	kernel := target.Kernels()[i]
	if _, err := target.MachineFor(kernel.Arch); err != nil {
		return "", err
	}
	tree := machine.Tree{}
	for _, p := range s.Packages {
		file, err := machine.Fetch(p.Path, p.SHA256)
		if err != nil {
			return "", err
		}
		if err := tree.Unpack(file); err != nil {
			return "", err
		}
	}
	mergeUsr(tree)
	if err := addChecks(tree, kernel.Arch); err != nil {
		return "", err
	}
	dir := filepath.Join("build/systemd", s.Version)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	m := machine.Machine{Kernel: kernel, Tree: tree, Init: "/usr/lib/systemd/systemd", Log: log}
	// If something is missing, such as a library, systemd hangs. A complete run needs less than 20 s.
	m.Limit = 2 * time.Minute
	fmt.Printf("systemd %s: the console is written to %s\n", s.Version, log.Name())
	_, err = m.Run()
	text, unread := os.ReadFile(log.Name())
	return string(text), errors.Join(err, unread)
}

// mergeUsr moves the files of /bin, /lib, /lib64 and /sbin to /usr, and makes those folders symbolic links, as Debian does.
// Some packages of Debian 12 still have files in both places.
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

// addChecks adds the units and the programs that they run.
func addChecks(tree machine.Tree, arch string) error {
	// Without an ID, systemd treats this as the first start of a new installation.
	tree.Write("etc/machine-id", 0o444, []byte(strings.Repeat("0123456789abcdef", 2)+"\n"))
	names, err := fs.Glob(units, "units/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := units.ReadFile(name)
		if err != nil {
			return err
		}
		dir := "etc/systemd/system/"
		if path.Base(name) == "system.conf" {
			dir = "etc/systemd/"
		}
		tree.Write(dir+path.Base(name), 0o644, text)
	}
	bin, err := os.MkdirTemp("", "systemd")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	build := target.Go(arch, "", "build", "-o", bin, "./examples/fdstore", "./tools/prove/systemd/probe")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return errors.Join(
		tree.Copy("fdstore", filepath.Join(bin, "fdstore")),
		tree.Copy("probe", filepath.Join(bin, "probe")),
	)
}

// marked returns what follows the mark in each line of the console that contains it.
func marked(console, mark string) (list []string) {
	for line := range strings.Lines(console) {
		// The line may begin with something that systemd printed without a newline.
		if _, rest, found := strings.Cut(strings.TrimRight(line, "\r\n"), mark); found {
			list = append(list, rest)
		}
	}
	return list
}

// isVersion returns an error unless the first process reported this version.
func isVersion(version, console string) error {
	list := marked(console, "@@systemd ")
	if len(list) != 1 || !strings.HasPrefix(list[0]+".", version+".") {
		return fmt.Errorf("the first process says that it is systemd %q", list)
	}
	return nil
}

// judge returns the result of each check.
func judge(version, console string) (results []string) {
	number, _ := strconv.Atoi(version) // the tests of the table verify that it is one
	for _, p := range parts {
		list := marked(console, "@@check "+p.name+": ")
		switch {
		case len(list) != 1:
			list = []string{fmt.Sprintf("%d results, want 1", len(list))}
		case number < p.since && list[0] == "absent":
			list[0] = fmt.Sprintf("%s%s (introduced in %d)", lacked, version, p.since)
		case number < p.since && list[0] == passed:
			list[0] = fmt.Sprintf("works, although it was introduced in systemd %d", p.since)
		}
		results = append(results, list[0])
	}
	return results
}
