package mutant

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/spectest"
	"github.com/scm-rights/scm/proof/events"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/target"
)

// Without this test, only SCM_MUTANTS=full would find a fault whose place in the sources has changed.
func TestFaultsHaveAPlace(t *testing.T) {
	for _, by := range []Finder{Specs, Rows, Walk, Record} {
		for _, f := range By(by) {
			if err := must.Try(func() { f.overlay("../..", t.TempDir()) }); err != nil {
				t.Errorf("%s: %v", f.What, err)
			}
		}
	}
}

// Each fault of csrc is found by the row of csrc's tests that it names.
func TestRows(t *testing.T) {
	TryAll(t, Rows, By(Rows), "../..", func(t *testing.T, f *Fault, o *Overlay) (string, error) {
		dir := t.TempDir()
		program, row, _ := strings.Cut(f.Row, " ")
		script := "cp -r ../../csrc $0"
		for file, changed := range o.Replace {
			script += fmt.Sprintf(" && cp %s $0/csrc/%s", changed, filepath.Base(file))
		}
		script += " && make -s -C $0/csrc BUILD=b WERROR= CFLAGS=-O1 b/test/$1"
		cmd := exec.Command("sh", "-c", script, dir, program)
		cmd.Env = fdtest.WithoutMake()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		out, _ := exec.Command("timeout", "120", filepath.Join(dir, "csrc/b/test", program)).Output()
		line := regexp.MustCompile(`(?m)^(not ok \d+ - ` + row + `(/\S+)?|ok \d+ - ` + row + `(/\S+)? # SKIP .*)$`).FindString(string(out))
		switch {
		case strings.HasPrefix(line, "ok"):
			return "", fmt.Errorf("%w: %s", target.ErrMissing, line)
		case line == "":
			return "", nil
		}
		return f.Row, nil
	})
}

// run runs a suite, and returns how many specs have one of the names, how many of them ran, and how many passed. In a
// dry run, none runs.
func run(t *testing.T, pkg, tags, overlay string, dry bool, names ...string) (all, ran, passed int) {
	t.Helper()
	dir, path := target.Folder("../..", pkg)
	cmd := exec.Command("go", "test", "-C", dir, "-json", "-count=1", "-vet=off", "-ldflags=-s -w", "-tags", tags,
		"-overlay", overlay, path, "-run=^TestSuite$", fmt.Sprint("-ginkgo.dry-run=", dry))
	for _, name := range names {
		cmd.Args = append(cmd.Args, "-ginkgo.focus=scm over [a-z]+ "+regexp.QuoteMeta(name)+"$")
	}
	// A spec that detects a leak does so by waiting in vain. The default of 30 seconds is for specs that must pass on a
	// busy machine.
	cmd.Env = append(os.Environ(), fdtest.AloneVariable+"=1", spectest.EventuallyVariable+"=5s")
	out, _ := cmd.CombinedOutput()
	tests, err := events.Read(out)
	if err != nil || len(tests) == 0 {
		t.Fatalf("%s with the tags %q ran no suite: %v\n%s", pkg, tags, err, out)
	}
	all, _ = tests[0].Planned()
	for _, one := range tests[1:] {
		switch one.State {
		case "pass":
			ran, passed = ran+1, passed+1
		case "skip":
		default:
			ran++
		}
	}
	if all > 0 && ran == 0 && tests[0].State == "fail" {
		t.Fatalf("%s with the tags %q failed outside its specs:\n%s", pkg, tags, out)
	}
	return all, ran, passed
}

// find returns the name of the spec that must find a fault, if it fails.
func find(t *testing.T, pkg, tags, overlay, name string) (string, error) {
	t.Helper()
	switch all, ran, passed := run(t, pkg, tags, overlay, false, name); {
	case all == 0:
		return "", fmt.Errorf("no spec has the name %q", name)
	case ran == 0:
		return "", fmt.Errorf("%w: the spec %q was skipped", target.ErrMissing, name)
	case passed == 0:
		return name, nil
	}
	return "", nil
}

// A fault counts as missed, and not as one for which a tool is missing, if the name of its spec is wrong.
func TestNoSpec(t *testing.T) {
	found, err := find(t, "./proof/torture", "scm_purego", "", "none")
	if found != "" || err == nil || errors.Is(err, target.ErrMissing) {
		t.Errorf("found %q, %v", found, err)
	}
}

// Each fault of the Go code is found by the spec that it names, over both backends if both have it. The specs exist.
// With SCM_MUTANTS=full, they first run without a fault, and must pass.
func TestSpecs(t *testing.T) {
	for backend, tags := range map[string]string{"cgo": "", "purego": "scm_purego"} {
		for _, pkg := range []string{".", "./proof/torture"} {
			list := slices.DeleteFunc(By(Specs), func(f Fault) bool {
				return !f.Hits(backend) || strings.HasPrefix(f.Spec, "torture ") != (pkg != ".")
			})
			t.Run(backend, func(t *testing.T) {
				var names []string
				for _, f := range list {
					names = append(names, f.Spec)
				}
				slices.Sort(names)
				names = slices.Compact(names)
				if all, ran, passed := run(t, pkg, tags, "", !Full(), names...); passed != ran || all != len(names) {
					t.Errorf("without a fault, %d of %d specs pass. Of %d names, %d have a spec", passed, ran, len(names), all)
				}
				TryAll(t, Specs, list, "../..", func(t *testing.T, f *Fault, o *Overlay) (string, error) {
					return find(t, pkg, tags, o.Name, f.Spec)
				})
			})
		}
	}
}
