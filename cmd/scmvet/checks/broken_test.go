package checks_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/go/analysis"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

// TestTypeErrors runs the analyzers on the test data with type errors, one in each function at a time: too few, too
// many or exchanged arguments, arguments for a function without parameters, or arguments, operands and operators of
// the wrong type. RunDespiteErrors is set, so they must not panic.
func TestTypeErrors(t *testing.T) {
	names, err := filepath.Glob("testdata/src/*/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("got %d files, %v; want the test data", len(names), err)
	}
	c := checker{fset: token.NewFileSet()}
	c.std = importer.ForCompiler(c.fset, "gc", nil)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, broken := range breakTypes(t, name, string(text)) {
			c.run(t, broken)
		}
	}
}

// breakTypes returns the text with each call, and each operation with two operands, changed in turn. It changes one
// in each function at the same time, from the end of the text, so that positions before it stay the same.
func breakTypes(t *testing.T, name, text string) (broken []string) {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range slices.Backward(file.Decls) {
		n := 0
		replace := func(from, to token.Pos, by string) {
			if n == len(broken) {
				broken = append(broken, text+"\nfunc none() int\n")
			}
			broken[n] = broken[n][:fset.Position(from).Offset] + by + broken[n][fset.Position(to).Offset:]
			n++
		}
		source := func(e ast.Expr) string { return text[fset.Position(e.Pos()).Offset:fset.Position(e.End()).Offset] }
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				replace(n.OpPos, n.Y.Pos(), "*")
				replace(n.Y.Pos(), n.Y.End(), `""`)
			case *ast.CallExpr:
				replace(n.Lparen, n.Lparen, "[int]")
				replace(n.Fun.Pos(), n.Fun.End(), "none")
				for i, arg := range n.Args {
					replace(arg.Pos(), n.Rparen, "")
					replace(arg.Pos(), arg.Pos(), source(arg)+", ")
					if i > 0 {
						replace(n.Args[0].Pos(), arg.End(), source(arg)+", "+source(n.Args[0]))
					}
					for _, wrong := range []string{`""`, "1.5", "int", "undefined", "func() {}"} {
						replace(arg.Pos(), arg.End(), wrong)
					}
				}
			}
			return true
		})
	}
	return broken
}

// A checker type-checks files and runs the analyzers.
type checker struct {
	fset *token.FileSet
	std  types.Importer
	unix *types.Package
}

// Import returns a package of the standard library or of the test data.
func (c *checker) Import(path string) (*types.Package, error) {
	if path != "golang.org/x/sys/unix" {
		return c.std.Import(path)
	}
	if c.unix == nil {
		file, err := parser.ParseFile(c.fset, "testdata/src/golang.org/x/sys/unix/unix.go", nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		config := types.Config{Importer: c.std}
		if c.unix, err = config.Check(path, c.fset, []*ast.File{file}, nil); err != nil {
			return nil, err
		}
	}
	return c.unix, nil
}

func (c *checker) run(t *testing.T, text string) {
	t.Helper()
	file, _ := parser.ParseFile(c.fset, "broken.go", text, parser.SkipObjectResolution|parser.ParseComments|parser.AllErrors)
	if file == nil {
		t.Fatal(text)
	}
	pass := &analysis.Pass{
		Fset:  c.fset,
		Files: []*ast.File{file},
		TypesInfo: &types.Info{
			Types:      map[ast.Expr]types.TypeAndValue{},
			Defs:       map[*ast.Ident]types.Object{},
			Uses:       map[*ast.Ident]types.Object{},
			Implicits:  map[ast.Node]types.Object{},
			Selections: map[*ast.SelectorExpr]*types.Selection{},
			Scopes:     map[ast.Node]*types.Scope{},
			Instances:  map[*ast.Ident]types.Instance{},
		},
		Report: func(analysis.Diagnostic) {},
	}
	config := types.Config{Importer: c, Error: func(error) {}}
	pass.Pkg, _ = config.Check("broken", c.fset, pass.Files, pass.TypesInfo)
	pass.ImportObjectFact = func(types.Object, analysis.Fact) bool { return false }
	pass.ExportObjectFact = func(types.Object, analysis.Fact) {}
	pass.ResultOf = map[*analysis.Analyzer]any{}
	for _, pass.Analyzer = range append(checks.Analyzers[0].Requires, checks.Analyzers...) {
		func() {
			defer func() {
				if e := recover(); e != nil {
					t.Errorf("%s: %v\n%s", pass.Analyzer.Name, e, text)
				}
			}()
			result, err := pass.Analyzer.Run(pass)
			if err != nil {
				t.Errorf("%s: %v", pass.Analyzer.Name, err)
			}
			pass.ResultOf[pass.Analyzer] = result
		}()
	}
}
