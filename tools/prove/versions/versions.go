//go:build linux

// Package versions runs the programs on the pages of docs/findings with the versions of the libraries that people use, and
// stores which of them have each fault.
package versions

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// PlanFile lists the versions of each library, and says how to run the program of each fault.
	PlanFile = "docs/findings/versions.json"
	// ResultsFile is written by Prove.
	ResultsFile = "docs/findings/tried.json"

	work = "build/_versions"
)

// A Plan is the content of PlanFile.
type Plan struct {
	// Packages are installed in a chroot of each suite.
	Packages []string `json:"packages"`
	// Suites maps the name of a release of Debian to that of its archive, such as "bookworm".
	Suites    map[string]string `json:"suites"`
	Libraries []Library         `json:"libraries"`
}

// A Library has a page about its faults, docs/findings/PEER.md.
type Library struct {
	Peer string `json:"peer"`
	// Newest prints the newest version of the registry, which replaces the word "newest" in Versions.
	Newest string `json:"newest"`
	// Version prints the version of the library that is installed in a chroot.
	Version string `json:"version"`
	// Prepare runs once for each version, in the directory that contains those of the programs.
	Prepare  string    `json:"prepare"`
	Versions []Version `json:"versions"`
	Faults   []Fault   `json:"faults"`
}

// A Version is one that the programs are run with. In commands, {version} is replaced by it.
type Version struct {
	// Where is the name of a registry or of a release of Debian, whose package it is.
	Where string `json:"where"`
	// Version is empty for a package of Debian.
	Version string `json:"version"`
}

// A Fault is a section of the page.
type Fault struct {
	Title string `json:"title"`
	// Files are the names of the files in the steps, in their order.
	Files []string `json:"files"`
	Run   string   `json:"run"`
	// Shown and Fixed are regular expressions. The first one matches the output if the version has the fault. Otherwise the
	// second one must match.
	Shown string `json:"shown"`
	Fixed string `json:"fixed"`
}

// A Result says whether a version has a fault.
type Result struct {
	Peer    string `json:"peer"`
	Fault   string `json:"fault"`
	Where   string `json:"where"`
	Version string `json:"version"`
	// Date is the day, in UTC, on which the run began that tried the library.
	Date  string `json:"date"`
	Shown bool   `json:"shown"`
}

// ReadPlan reads the plan of the tree at root.
func ReadPlan(root string) (p Plan, err error) {
	return p, readJSON(filepath.Join(root, PlanFile), &p)
}

// ReadResults reads the results of the last run.
func ReadResults(root string) (list []Result, err error) {
	return list, readJSON(filepath.Join(root, ResultsFile), &list)
}

func readJSON(file string, to any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Prove runs the programs about these libraries, or about all, and replaces their results.
func Prove(peers []string) error {
	plan, err := ReadPlan(".")
	if err != nil {
		return err
	}
	var wrong error
	for _, l := range plan.Libraries {
		if len(peers) > 0 && !slices.Contains(peers, l.Peer) {
			continue
		}
		list, err := l.try(plan)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", l.Peer, err))
			continue
		}
		if err := keep(l.Peer, list); err != nil {
			return err
		}
	}
	return wrong
}

// keep replaces the results about a library.
func keep(peer string, list []Result) error {
	results, err := ReadResults(".")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	results = slices.DeleteFunc(results, func(r Result) bool { return r.Peer == peer })
	results = append(results, list...)
	slices.SortStableFunc(results, func(a, b Result) int { return strings.Compare(a.Peer, b.Peer) })
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(ResultsFile, append(text, '\n'), 0o666)
}

// try runs the programs about a library with each version.
func (l Library) try(plan Plan) (list []Result, wrong error) {
	programs, err := l.programs(".")
	if err != nil {
		return nil, err
	}
	date := time.Now().UTC().Format(time.DateOnly)
	for i, v := range l.Versions {
		m := machine{dir: filepath.Join(work, "host")}
		if suite := plan.Suites[v.Where]; suite != "" {
			if m, err = chroot(suite, plan.Packages); err != nil {
				return nil, err
			}
		}
		top := fmt.Sprintf("%s-%d", l.Peer, i)
		if err := os.RemoveAll(filepath.Join(m.dir, "try", top)); err != nil {
			return nil, err
		}
		if err := l.install(&v, m, top); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", v.Where, err))
			continue
		}
		for k, f := range l.Faults {
			shown, err := f.try(m, fmt.Sprintf("%s/%d", top, k), v.Version, programs[k])
			if err != nil {
				wrong = errors.Join(wrong, fmt.Errorf("%s %s: %q: %w", v.Where, v.Version, f.Title, err))
				continue
			}
			fmt.Printf("%-16s %-18s %-14s %-8s %s\n", l.Peer, v.Where, v.Version, map[bool]string{true: "affected", false: "not"}[shown], f.Title)
			list = append(list, Result{l.Peer, f.Title, v.Where, v.Version, date, shown})
		}
	}
	return list, wrong
}

// install makes the version ready in the directory top, and sets its number if the plan does not.
func (l Library) install(v *Version, m machine, top string) error {
	var err error
	switch v.Version {
	case "newest":
		v.Version, err = machine{dir: m.dir}.run(top, l.Newest)
	case "":
		v.Version, err = m.run(top, l.Version)
	}
	v.Version = strings.TrimSpace(v.Version)
	if err != nil || v.Version == "" {
		return fmt.Errorf("no version: %w: %s", err, v.Version)
	}
	if l.Prepare == "" {
		return nil
	}
	if text, err := m.run(top, strings.ReplaceAll(l.Prepare, "{version}", v.Version)); err != nil {
		return fmt.Errorf("%w: %s", err, text)
	}
	return nil
}

// try runs the program of a fault in a directory, and reports whether the version has the fault.
func (f Fault) try(m machine, dir, version string, files []string) (shown bool, err error) {
	for i, name := range f.Files {
		file := filepath.Join(m.dir, "try", dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return false, err
		}
		if err := os.WriteFile(file, []byte(files[i]), 0o666); err != nil {
			return false, err
		}
	}
	text, err := m.run(dir, strings.ReplaceAll(f.Run, "{version}", version))
	return f.judge(text, err)
}

// judge reports whether the output of the program shows the fault. A program that ends with an error may show it too.
func (f Fault) judge(output string, err error) (shown bool, unclear error) {
	if regexp.MustCompile("(?m)" + f.Shown).MatchString(output) {
		return true, nil
	}
	if regexp.MustCompile("(?m)" + f.Fixed).MatchString(output) {
		return false, nil
	}
	return false, fmt.Errorf("the output shows neither the fault nor that it is fixed: %w\n%s", err, output)
}

// Check reports whether the library's page has the program of each fault, and whether the expressions are valid.
func (l Library) Check(root string) error {
	_, wrong := l.programs(root)
	for _, f := range l.Faults {
		_, shown := regexp.Compile(f.Shown)
		_, fixed := regexp.Compile(f.Fixed)
		wrong = errors.Join(wrong, shown, fixed)
	}
	return wrong
}

// programs returns the files in the steps of each fault on the library's page: the blocks of code in them, except for commands.
func (l Library) programs(root string) (list [][]string, err error) {
	name := filepath.Join(root, "docs/findings", l.Peer+".md")
	page, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for _, f := range l.Faults {
		_, section, found := strings.Cut(string(page), "\n## "+f.Title+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		_, steps, _ := strings.Cut(section, "\n**Steps**\n")
		steps, _, _ = strings.Cut(steps, "\n**Expected**\n")
		var files []string
		for _, m := range block.FindAllStringSubmatch(steps, -1) {
			if m[1] != "" && m[1] != "sh" {
				files = append(files, m[2])
			}
		}
		if !found || len(files) != len(f.Files) || len(files) == 0 {
			return nil, fmt.Errorf("%s has no section %q with the files %v", name, f.Title, f.Files)
		}
		list = append(list, files)
	}
	return list, nil
}

var block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// A machine runs commands in a chroot, or on this machine if root is false. The programs are in the directory try of dir.
type machine struct {
	dir  string
	root bool
}

// chroot returns a chroot of a suite of Debian, which it makes if there is none.
func chroot(suite string, packages []string) (machine, error) {
	dir, err := filepath.Abs(filepath.Join(work, suite))
	m := machine{dir, true}
	if err != nil {
		return m, err
	}
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return m, nil
	}
	fmt.Printf("%s: installing %d packages\n", suite, len(packages))
	if err := errors.Join(os.MkdirAll(work, 0o777), os.RemoveAll(dir)); err != nil {
		return m, err
	}
	// The index of an unstable release that is not current is still the newest that the mirror has.
	args := []string{"--quiet", "--variant=apt", `--aptopt=Acquire::Check-Valid-Until "false"`, "--include=" + strings.Join(packages, ","), suite, dir}
	mirror := cmp.Or(os.Getenv("DEBIAN_MIRROR"), "http://deb.debian.org/debian")
	args = append(args, fmt.Sprintf("deb %s %s main", mirror, suite))
	if suite != "sid" {
		args = append(args, fmt.Sprintf("deb %s-security %s-security main", mirror, suite))
	}
	if text, err := exec.Command("mmdebstrap", args...).CombinedOutput(); err != nil {
		return m, fmt.Errorf("mmdebstrap: %w\n%s", err, text)
	}
	return m, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o666)
}

// run runs a shell command in a directory of the machine, and returns its output.
func (m machine) run(dir, command string) (string, error) {
	here := filepath.Join(m.dir, "try", dir)
	if err := os.MkdirAll(here, 0o777); err != nil {
		return "", err
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir = here
	if m.root {
		enter := `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" bash -c "cd /try/$1 && $2"`
		cmd = exec.CommandContext(ctx, "unshare", "--mount", "bash", "-c", enter, m.dir, dir, command)
	}
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"+os.Getenv("PATH"))
	cmd.WaitDelay = 10 * time.Second
	text, err := cmd.CombinedOutput()
	return string(text), err
}
