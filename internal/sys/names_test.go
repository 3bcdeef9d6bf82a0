package sys

import (
	"go/build/constraint"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suffixes are the build constraints of the second parts of file names that doc.go lists. That of _none depends
// on the capability.
var suffixes = map[string]string{
	"unix":        "unix",
	"linux":       "linux",
	"posix":       "unix && !linux",
	"bsd":         "unix && !aix",
	"aix":         "aix",
	"cmsgcloexec": "unix && !aix && !darwin && !solaris",
	"forklock":    "aix || darwin || solaris",
	"xucred":      "darwin || freebsd",
	"peereid":     "netbsd || openbsd",
	"ucred":       "solaris",
	"detector":    "race && unix",
}

// systems are the build tags of the supported systems, with the race detector on the last.
var systems = []string{
	"linux unix", "android linux unix", "darwin unix", "freebsd unix", "openbsd unix", "netbsd unix", "dragonfly unix",
	"solaris unix", "illumos solaris unix", "aix unix", "windows", "js", "wasip1", "plan9", "linux race unix",
}

// constraintOf returns the build constraint of a file, which the go command also finds in some names.
func constraintOf(t *testing.T, file string) constraint.Expr {
	t.Helper()
	for _, system := range []string{"linux", "aix"} {
		if strings.HasSuffix(file, "_"+system+".go") {
			return &constraint.TagExpr{Tag: system}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	expr, err := constraint.Parse(first)
	if err != nil {
		return nil
	}
	return expr
}

func TestFileNames(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d files, %v; want at least 20", len(files), err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	variants := map[string][]constraint.Expr{} // of each capability that has a file _none
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "nonunix.go" {
			continue
		}
		capability, suffix, hasSuffix := strings.Cut(strings.TrimSuffix(file, ".go"), "_")
		got := constraintOf(t, file)
		switch {
		case !hasSuffix && got != nil:
			t.Errorf("%s has the constraint %s, and no second part in its name", file, got)
		case hasSuffix && !strings.Contains(string(doc), "_"+suffix+" ") && !strings.Contains(string(doc), "_"+suffix+","):
			t.Errorf("%s: doc.go does not list _%s", file, suffix)
		case hasSuffix && got == nil:
			t.Errorf("%s has no constraint", file)
		case hasSuffix && suffix != "none" && got.String() != suffixes[suffix]:
			t.Errorf("%s has the constraint %s, not %s", file, got, suffixes[suffix])
		}
		if hasSuffix && got != nil && slices.Contains(files, capability+"_none.go") {
			variants[capability] = append(variants[capability], got)
		}
	}
	for capability, exprs := range variants {
		for _, system := range systems {
			built := 0
			for _, expr := range exprs {
				if expr.Eval(func(tag string) bool { return slices.Contains(strings.Fields(system), tag) }) {
					built++
				}
			}
			if built != 1 {
				t.Errorf("%d files %s_*.go are built for %q", built, capability, system)
			}
		}
	}
}
