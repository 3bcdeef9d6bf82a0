//go:build linux

package repotest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// exportedNames returns the names of the package as go doc lists them on this
// system, methods as Type.Method, each with its doc comment; and the examples.
func exportedNames() (names, methods map[string]string, examples []*ast.File) {
	fset := token.NewFileSet()
	entries, err := os.ReadDir(".")
	Expect(err).NotTo(HaveOccurred())
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.ParseComments)
		Expect(err).NotTo(HaveOccurred())
		switch {
		case strings.HasPrefix(e.Name(), "example_"):
			examples = append(examples, f)
		case !strings.HasSuffix(e.Name(), "_test.go"):
			files = append(files, f)
		}
	}
	p, err := doc.NewFromFiles(fset, files, "scm")
	Expect(err).NotTo(HaveOccurred())

	names, methods = map[string]string{}, map[string]string{}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, s := range v.Decl.Specs {
				spec := s.(*ast.ValueSpec)
				for _, n := range spec.Names {
					if n.IsExported() {
						names[n.Name] = v.Doc + spec.Doc.Text()
					}
				}
			}
		}
	}
	funcs := func(fs []*doc.Func) {
		for _, f := range fs {
			names[f.Name] = f.Doc
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs(p.Funcs)
	for _, t := range p.Types {
		names[t.Name] = t.Doc // go doc lists a type's constants with it
		values(t.Vars)
		funcs(t.Funcs)
		for _, m := range t.Methods {
			methods[t.Name+"."+m.Name] = m.Doc
		}
	}
	return names, methods, examples
}

var _ = Describe("the exported names", Label("house"), func() {
	It("are at most 48", func() {
		names, _, _ := exportedNames()
		Expect(names).To(HaveKey("Conn"))
		Expect(len(names)).To(BeNumerically("<=", 48), "%v", names)
	})

	It("have a doc comment each", func() {
		names, methods, _ := exportedNames()
		for n, text := range names {
			Expect(text).To(ContainSubstring(n), n)
		}
		for n, text := range methods {
			// Error says what it says.
			if _, method, _ := strings.Cut(n, "."); method != "Error" && n != "ExpectError.Unwrap" {
				Expect(text).To(ContainSubstring(method), n)
			}
		}
	})

	It("have an example each, or are in one", func() {
		names, methods, examples := exportedNames()
		Expect(examples).NotTo(BeEmpty())
		shown := map[string]bool{}
		// fmt and errors call these.
		selected := map[string]bool{"Error": true, "Unwrap": true}
		for _, f := range examples {
			for _, e := range doc.Examples(f) {
				name, _, _ := strings.Cut(e.Name, "_")
				shown[name] = true
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					selected[s.Sel.Name] = true
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "scm" {
						shown[s.Sel.Name] = true
					}
				}
				return true
			})
		}
		var missing []string
		for n := range names {
			if !shown[n] {
				missing = append(missing, n)
			}
		}
		for n := range methods {
			if _, method, _ := strings.Cut(n, "."); !selected[method] {
				missing = append(missing, n)
			}
		}
		Expect(missing).To(BeEmpty())
	})
})
