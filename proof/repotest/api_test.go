//go:build linux && !purego && !scm_purego

package repotest

import (
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var updateAPI = flag.Bool("update-api", false, "rewrite testdata/api.txt; a line that disappears breaks importers")

// api returns the exported declarations of a package on Linux, one for each name.
func api(path string) (text string) {
	GinkgoHelper()
	var files []*ast.File
	set := token.NewFileSet()
	for _, name := range strings.Fields(goTool{}.must("list", "-tags", "scm_purego", "-f", `{{join .GoFiles " "}}`, path)) {
		files = append(files, ok(parser.ParseFile(set, "."+strings.TrimPrefix(path, module)+"/"+name, nil, 0)))
	}
	p := ok(doc.NewFromFiles(set, files, path))
	var declarations []string
	add := func(d ast.Decl) {
		var b strings.Builder
		Expect(printer.Fprint(&b, set, d)).To(Succeed())
		declarations = append(declarations, b.String()+"\n")
	}
	functions := func(list []*doc.Func) {
		for _, f := range list {
			add(f.Decl)
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			add(v.Decl)
		}
	}
	values(slices.Concat(p.Consts, p.Vars))
	functions(p.Funcs)
	for _, t := range p.Types {
		add(t.Decl)
		values(slices.Concat(t.Consts, t.Vars))
		functions(slices.Concat(t.Funcs, t.Methods))
	}
	return "package " + path + "\n\n" + strings.Join(declarations, "")
}

var _ = Describe("the API", Label("tree"), func() {
	It("is the one in testdata/api.txt: see -update-api", func() {
		var now strings.Builder
		for _, path := range append(publicPackages(), module+"/interop/peers/go/peer", module+"/interoptest") {
			now.WriteString(api(path) + "\n")
		}
		const stored = "proof/repotest/testdata/api.txt"
		if *updateAPI {
			Expect(os.WriteFile(stored, []byte(now.String()), 0o644)).To(Succeed())
		}
		Expect(now.String()).To(Equal(string(ok(os.ReadFile(stored)))))
	})
})
