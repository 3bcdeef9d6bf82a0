// Command vet runs the analyzers of `go vet` and of scmvet. It type-checks dependencies from source instead of
// compiling them, which saves most of the time when the target is another operating system. Its go.mod pins the
// versions of the tools that `make lint` uses. As the tool of go vet, it reads compiled packages instead.
//
//	vet [-test=false] PACKAGE…
//	go vet -vettool=VET PACKAGE…
//	vet -types [-test=false] PACKAGE…
//
// With -types, vet runs no analyzer and only type-checks the packages. That takes a third of the time, and is enough
// if the files differ only in what they import.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/multichecker"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/packages"

	"github.com/scm-rights/scm/cmd/scmvet/checks"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "-types" {
		multichecker.Main(append(vet.Suite, checks.Analyzers...)...)
	}
	flags := flag.NewFlagSet("vet -types", flag.ExitOnError)
	tests := flags.Bool("test", true, "include the tests")
	_ = flags.Parse(os.Args[2:])
	n, err := check(*tests, flags.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "vet:", err)
	}
	if n > 0 || err != nil {
		os.Exit(1)
	}
}

// check type-checks packages, and prints and counts the errors in files below the current directory.
func check(tests bool, patterns []string) (n int, err error) {
	here, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	ours := func(name string) bool { return strings.HasPrefix(name, here+"/") }
	list, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax,
		Tests: tests,
		// The functions of other modules are most of the code. Their bodies affect no type.
		ParseFile: func(set *token.FileSet, name string, text []byte) (*ast.File, error) {
			file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
			if file != nil && !ours(name) {
				for _, d := range file.Decls {
					if f, ok := d.(*ast.FuncDecl); ok {
						f.Body = nil
					}
				}
			}
			return file, err
		},
	}, patterns...)
	if err == nil && len(list) == 0 {
		err = errors.New("no package has files for this system")
	}
	packages.Visit(list, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			// Without bodies, the other modules have unused imports.
			if e.Kind != packages.TypeError || ours(e.Pos) {
				fmt.Fprintln(os.Stderr, strings.TrimPrefix(e.Error(), here+"/"))
				n++
			}
		}
	})
	return n, err
}
