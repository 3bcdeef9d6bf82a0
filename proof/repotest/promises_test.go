//go:build linux && !purego && !scm_purego

package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/scm-rights/scm/proof/mutant"
)

// evidence checks that the file of a test exists and contains the test: a function, a row or a line of a plan with
// exactly this name, or a spec with the name in its text.
func evidence(test string) {
	GinkgoHelper()
	file, name, ok := strings.Cut(test, ": ")
	if !ok {
		file = "interop/catalogue/" + test + ".txt"
	}
	text := contents(file)
	n := regexp.QuoteMeta(name)
	test = `(?m)^func ` + n + `\(|\b(It|DescribeTable)\(.*` + n + `|"` + n + `"|^(quick|full) .* ` + n + `$`
	Expect(!ok || regexp.MustCompile(test).MatchString(text)).To(BeTrue(), "%s: want a test, a row or a spec %q", file, name)
}

// bodies returns the bodies of the test function, the specs or the child that the evidence names, and nothing for a row
// or a line of a plan.
func bodies(test string) (list []string) {
	GinkgoHelper()
	file, name, _ := strings.Cut(test, ": ")
	if !strings.HasSuffix(file, ".go") {
		return nil
	}
	text, set := ok(os.ReadFile(file)), token.NewFileSet()
	at := func(from, to token.Pos) string {
		return string(text[set.Position(from).Offset:set.Position(to).Offset])
	}
	ast.Inspect(ok(parser.ParseFile(set, file, text, 0)), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == name {
				list = append(list, at(n.Body.Pos(), n.End()))
			}
		case *ast.CallExpr:
			switch at(n.Fun.Pos(), n.Fun.End()) {
			case "It", "DescribeTable", "Child":
				if title := n.Args[0]; strings.Contains(at(title.Pos(), title.End()), name) {
					list = append(list, at(title.End(), n.End()))
				}
			}
		}
		return true
	})
	return list
}

var exported = regexp.MustCompile(`^(?:[A-Z]\w*\.)?([A-Z]\w*)`)

var _ = It("the tests and comparisons that proof/promises.txt names exist", func() {
	text := contents("proof/promises.txt")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.Split(line, " | ")
		Expect(words).To(HaveLen(3), line)
		for _, test := range words[1:] {
			if test == "-" {
				continue
			}
			evidence(test)
			name := exported.FindStringSubmatch(words[0])
			if found := bodies(test); name != nil && found != nil {
				Expect(found).To(ContainElement(MatchRegexp(`\b`+name[1]+`\b`)), "%s: %s does not use it", words[0], test)
			}
		}
	}
})

var _ = It("the rows of csrc's tests that faults name exist", func() {
	for _, f := range mutant.By(mutant.Rows) {
		program, row, _ := strings.Cut(f.Row, " ")
		evidence("csrc/test/" + program + ".c: " + row)
	}
})
