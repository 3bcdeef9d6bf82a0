//go:build linux && !purego && !scm_purego

package repotest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// exported returns the names that go doc lists for the package on this system, and its methods as
// Type.Method, each with its doc comment. shown are the names that examples are about or use from
// package scm, and selected are all names that examples use in a selector.
func exported() (names, methods map[string]string, shown, selected map[string]bool) {
	GinkgoHelper()
	fset := token.NewFileSet()
	var files []*ast.File
	names, methods, shown = map[string]string{}, map[string]string{}, map[string]bool{}
	selected = map[string]bool{"Error": true, "Unwrap": true} // fmt and errors call these
	for _, name := range ok(filepath.Glob("*.go")) {
		f := ok(parser.ParseFile(fset, name, nil, parser.ParseComments))
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, f)
		}
		if !strings.HasPrefix(name, "example_") {
			continue
		}
		for _, e := range doc.Examples(f) {
			name, _, _ := strings.Cut(e.Name, "_")
			shown[name] = true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				selected[s.Sel.Name] = true
				x, ok := s.X.(*ast.Ident)
				shown[s.Sel.Name] = shown[s.Sel.Name] || ok && x.Name == "scm"
			}
			return true
		})
	}
	p := ok(doc.NewFromFiles(fset, files, "scm"))
	values, funcs := slices.Concat(p.Consts, p.Vars), p.Funcs
	for _, t := range p.Types {
		names[t.Name] = t.Doc // go doc lists a type's constants with it
		values, funcs = append(values, t.Vars...), append(funcs, t.Funcs...)
		for _, m := range t.Methods {
			methods[t.Name+"."+m.Name] = m.Doc
		}
	}
	for _, f := range funcs {
		names[f.Name] = f.Doc
	}
	for _, v := range values {
		for _, s := range v.Decl.Specs {
			for _, n := range s.(*ast.ValueSpec).Names {
				if n.IsExported() {
					names[n.Name] = v.Doc + s.(*ast.ValueSpec).Doc.Text()
				}
			}
		}
	}
	return names, methods, shown, selected
}

var _ = Describe("the exported names", Label("house"), func() {
	It("are at most 48, have a doc comment each, and are in an example", func() {
		names, methods, shown, selected := exported()
		Expect(names).To(HaveKey("Conn"))
		Expect(len(names)).To(BeNumerically("<=", 48), "%v", names)
		var missing []string
		for n, text := range names {
			Expect(text).To(ContainSubstring(n), n)
			if !shown[n] {
				missing = append(missing, n)
			}
		}
		for n, text := range methods {
			_, method, _ := strings.Cut(n, ".")
			// The doc comments of these methods need not name them.
			if method != "Error" && n != "ExpectError.Unwrap" {
				Expect(text).To(ContainSubstring(method), n)
			}
			if !selected[method] {
				missing = append(missing, n)
			}
		}
		Expect(missing).To(BeEmpty(), "in no example")
	})
})
