//go:build linux && !purego && !scm_purego

package repotest

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The pages with diagrams. The second is about package interop and those below it.
const (
	architecture = "docs/architecture.md"
	suitePage    = "interop/README.md"
)

var updateArchitecture = flag.Bool("update-architecture", false, "regenerate the diagrams in "+architecture+" and "+suitePage)

// drawn matches a diagram of packages, and the go list patterns in the comment above it.
var drawn = regexp.MustCompile("(?s)<!-- go list -deps ([^\n]*) -->\n```mermaid\n(.*?)```\n")

// drawnTypes matches a diagram of the types of a package, and the directory in the comment above it.
var drawnTypes = regexp.MustCompile("(?s)<!-- struct types of ([^\n]*) -->\n```mermaid\n(.*?)```\n")

// fileRow matches a row for a file in the table of package interop: the file and its types.
var fileRow = regexp.MustCompile("(?m)^\\| `(\\w+\\.go)` \\| (.*?) ?\\|")

// typesOf returns the types that each file of a package declares, without its tests.
func typesOf(dir string) map[string][]*ast.TypeSpec {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	Expect(err).NotTo(HaveOccurred())
	types := map[string][]*ast.TypeSpec{}
	for _, path := range files {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || name == "doc.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		Expect(err).NotTo(HaveOccurred())
		types[name] = nil
		for _, decl := range file.Decls {
			if group, ok := decl.(*ast.GenDecl); ok && group.Tok == token.TYPE {
				for _, spec := range group.Specs {
					types[name] = append(types[name], spec.(*ast.TypeSpec))
				}
			}
		}
	}
	return types
}

// heldTypes returns, for each type of a package that has another in a field or is in a field of one,
// the types of the package that its own fields have.
func heldTypes(dir string) map[string][]string {
	GinkgoHelper()
	var structs []*ast.TypeSpec
	names := map[string]bool{}
	for _, types := range typesOf(dir) {
		for _, t := range types {
			names[t.Name.Name] = true
			if _, ok := t.Type.(*ast.StructType); ok {
				structs = append(structs, t)
			}
		}
	}
	held := map[string][]string{}
	for _, t := range structs {
		ast.Inspect(t.Type, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok {
				return true
			}
			ast.Inspect(field.Type, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				if ok && names[id.Name] && id.Name != t.Name.Name {
					held[t.Name.Name] = append(held[t.Name.Name], id.Name)
					held[id.Name] = append([]string{}, held[id.Name]...)
				}
				_, imported := n.(*ast.SelectorExpr)
				return !imported
			})
			return false
		})
	}
	for name, list := range held {
		held[name] = slices.Compact(slices.Sorted(slices.Values(list)))
	}
	return held
}

// moduleImports returns, for the packages of this module that the patterns select or depend on,
// the packages of this module that each imports. It merges both backends.
func moduleImports(patterns ...string) map[string][]string {
	GinkgoHelper()
	imports := map[string][]string{}
	for _, tags := range []string{"", "scm_purego"} {
		for _, p := range (goTool{env: []string{"CGO_ENABLED=1"}}).list(append([]string{"-deps", "-tags=" + tags}, patterns...)...) {
			name, ours := moduleName(p.ImportPath)
			if !ours {
				continue
			}
			list := imports[name]
			for _, path := range p.Imports {
				if other, ours := moduleName(path); ours && !slices.Contains(list, other) {
					list = append(list, other)
				}
			}
			imports[name] = list
		}
	}
	return imports
}

// moduleName returns the path of a package inside the module, and "scm" for its root.
func moduleName(path string) (string, bool) {
	if path == module {
		return "scm", true
	}
	return strings.CutPrefix(path, module+"/")
}

// diagram draws the imports as a Mermaid flowchart. It leaves out each arrow that a path of other
// arrows replaces.
func diagram(imports map[string][]string) string {
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		return slices.ContainsFunc(imports[from], func(next string) bool { return next == to || reaches(next, to) })
	}
	var b strings.Builder
	b.WriteString("flowchart TD\n")
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		fmt.Fprintf(&b, "  %s[%q]\n", nodeID(name), name)
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		for _, other := range slices.Sorted(slices.Values(imports[name])) {
			longer := func(next string) bool { return next != other && reaches(next, other) }
			if !slices.ContainsFunc(imports[name], longer) {
				fmt.Fprintf(&b, "  %s --> %s\n", nodeID(name), nodeID(other))
			}
		}
	}
	return b.String()
}

func nodeID(name string) string { return strings.ReplaceAll(name, "/", "_") }

var _ = Describe(architecture, Label("house"), func() {
	It("draws the packages as go list reports them, and the types as the files declare them: see -update-architecture", func() {
		Expect(drawnTypes.MatchString(contents(suitePage))).To(BeTrue())
		for _, name := range []string{architecture, suitePage} {
			page := contents(name)
			Expect(drawn.MatchString(page)).To(BeTrue())
			want := drawn.ReplaceAllStringFunc(page, func(block string) string {
				patterns := drawn.FindStringSubmatch(block)[1]
				return "<!-- go list -deps " + patterns + " -->\n```mermaid\n" + diagram(moduleImports(strings.Fields(patterns)...)) + "```\n"
			})
			want = drawnTypes.ReplaceAllStringFunc(want, func(block string) string {
				dir := drawnTypes.FindStringSubmatch(block)[1]
				return "<!-- struct types of " + dir + " -->\n```mermaid\n" + diagram(heldTypes(dir)) + "```\n"
			})
			if *updateArchitecture {
				Expect(os.WriteFile(name, []byte(want), 0o644)).To(Succeed())
				continue
			}
			Expect(page).To(Equal(want))
		}
	})

	It("lists the files of package interop, each with its types", func() {
		want := map[string]string{}
		for file, types := range typesOf("interop") {
			var names []string
			for _, t := range types {
				names = append(names, "`"+t.Name.Name+"`")
			}
			want[file] = strings.Join(names, ", ")
		}
		rows := map[string]string{}
		for _, row := range fileRow.FindAllStringSubmatch(contents(suitePage), -1) {
			rows[row[1]] = row[2]
		}
		Expect(rows).To(Equal(want))
	})

	It("names every package, in a diagram or in text, and no other in the table of tests and tools", func() {
		page := contents(architecture) + contents(suitePage)
		_, table, _ := strings.Cut(contents(architecture), "\n## Tests and tools\n")
		var rows, named []string
		for _, m := range regexp.MustCompile("(?m)^\\| `(.*?)`").FindAllStringSubmatch(table, -1) {
			rows = append(rows, m[1])
		}
		Expect(rows).NotTo(BeEmpty())
		for _, m := range regexp.MustCompile("`([\\w/.]+)`|\\[\"(.*?)\"\\]").FindAllStringSubmatch(page, -1) {
			named = append(named, m[1]+m[2])
		}
		used := map[string]bool{}
		for _, file := range filesBelow(".") {
			if filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") || strings.Contains(file, "testdata") {
				continue
			}
			folder := filepath.Dir(file)
			if folder == "." {
				folder = "scm"
			}
			Expect(coveredBy(named, module+"/"+folder)).To(BeTrue(), folder)
			for _, row := range rows {
				used[row] = used[row] || covers(row, module+"/"+folder)
			}
		}
		Expect(used).NotTo(ContainElement(false))
	})

	It("leaves out an arrow that a longer path replaces", func() {
		Expect(diagram(map[string][]string{"a/x": {"b", "c"}, "b": {"c"}, "c": nil})).To(Equal(
			"flowchart TD\n  a_x[\"a/x\"]\n  b[\"b\"]\n  c[\"c\"]\n  a_x --> b\n  b --> c\n"))
	})
})
