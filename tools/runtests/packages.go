//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A listed is what go list reports about a package or its test program.
type listed struct {
	Dir, ImportPath                                            string
	DepOnly, Incomplete                                        bool // only imported; with an error
	TestGoFiles, XTestGoFiles, TestImports, XTestImports, Deps []string
}

const ginkgo = "github.com/onsi/ginkgo/v2"

// packagesOf returns the packages with tests that a part runs. For another user, -export makes go list compile them
// into the build cache, which tools/as-user.sh copies.
func (r *run) packagesOf(p *running) (all []*goPackage, err error) {
	args := []string{"-C", filepath.Join(".", p.Dir), "list", "-e", "-test", "-json=Dir,ImportPath,DepOnly,Incomplete,TestGoFiles,XTestGoFiles,TestImports,XTestImports,Deps"}
	cmd := exec.CommandContext(r.ctx, goCommand)
	cmd.Env = append(r.environ(), p.Env...)
	if p.asUser() != "" {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=0", goFlags())
		args = append(args, "-export", "-trimpath", "-deps")
	}
	if p.Tags != "" {
		args = append(args, "-tags="+p.Tags)
	}
	cmd.Args = slices.Concat(cmd.Args, args, p.Packages)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	var packages []listed
	deps := map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if name, isTest := strings.CutSuffix(l.ImportPath, ".test"); isTest {
			deps[name] = l.Deps
		} else if !l.DepOnly && !strings.Contains(l.ImportPath, " ") {
			packages = append(packages, l)
		}
	}
	root, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, err
	}
	for _, l := range packages {
		relative, err := filepath.Rel(root, l.Dir)
		if err != nil {
			return nil, err
		}
		used, known := deps[l.ImportPath]
		if len(l.TestGoFiles)+len(l.XTestGoFiles) == 0 && !l.Incomplete || !r.includes(p, "./"+relative, used, !known) {
			continue
		}
		q := newPackage(l.ImportPath)
		imports := slices.Concat(l.TestImports, l.XTestImports)
		q.suite = slices.Contains(imports, ginkgo) && l.ImportPath != module+"/internal/spectest" // it starts suites as programs
		q.rank = slices.IndexFunc(p.Packages, func(pattern string) bool { return matches(pattern, "./"+relative) })
		all = append(all, q)
	}
	// go test runs them in this order.
	slices.SortFunc(all, func(a, b *goPackage) int { return cmp.Or(a.rank-b.rank, strings.Compare(a.name, b.name)) })
	return all, nil
}

// includes reports whether a part includes the package at path, which begins with a dot. deps are the packages that its
// tests depend on; they are unknown if the tests cannot be built.
func (r *run) includes(p *running, path string, deps []string, unknown bool) bool {
	if slices.ContainsFunc(p.Not, func(pattern string) bool { return matches(pattern, path) }) {
		return false
	}
	uses := func(name string) bool { return unknown || slices.Contains(deps, name) }
	switch {
	case p.Using == "" || r.noC != "":
		return true
	case p.asUser() != "":
		return uses(p.Using) || slices.ContainsFunc(p.UserUsing, uses)
	}
	return uses(p.Using) && !slices.Contains(p.Same, path)
}

// matches reports whether a pattern, as for go list, matches a package.
func matches(pattern, path string) bool {
	if root, tree := strings.CutSuffix(pattern, "/..."); tree {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	return filepath.Clean(pattern) == filepath.Clean(path)
}
