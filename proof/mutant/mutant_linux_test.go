package mutant

import (
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

// run runs a suite, and returns how many of the specs of these names ran, and how many of them passed. A dry run only
// counts them.
func run(t *testing.T, pkg, tags, overlay string, dry bool, names ...string) (all, passed int) {
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
	out, _ := cmd.Output()
	tests, err := events.Read(out)
	if err != nil || len(tests) == 0 {
		t.Fatalf("%s with the tags %q ran no suite: %v\n%s", pkg, tags, err, out)
	}
	if dry {
		all, _ = tests[0].Planned()
		return all, all
	}
	for _, one := range tests[1:] {
		switch one.State {
		case "pass":
			all, passed = all+1, passed+1
		case "skip":
		default:
			all++
		}
	}
	return all, passed
}

// Each fault of the Go code is found by the spec that it names, over both backends if both have it. With
// SCM_MUTANTS=full, the specs first run without a fault, and must pass. Otherwise, they must exist.
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
				if all, passed := run(t, pkg, tags, "", !Full(), names...); all != passed || !Full() && all != len(names) {
					t.Errorf("without a fault, %d of %d specs pass, and %d have names", passed, all, len(names))
				}
				TryAll(t, Specs, list, "../..", func(t *testing.T, f *Fault, o *Overlay) (string, error) {
					switch all, passed := run(t, pkg, tags, o.Name, false, f.Spec); {
					case all == 0:
						return "", fmt.Errorf("%w: no spec ran with the name %q", target.ErrMissing, f.Spec)
					case passed == 0:
						return f.Spec, nil
					}
					return "", nil
				})
			})
		}
	}
}
