package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// A pass is a run of one analyzer on one package. The analyzers share everything but the notes.
type pass struct {
	*analysis.Pass
	rights    bool // the package may receive descriptors
	calls     []*call
	functions []*ast.FuncDecl
	flows     []assignment
	accepted  map[token.Position]bool // the lines with findings that notes accept
	holds     map[types.Object]string // what variables and fields hold
	owns      map[types.Object]string // what only a local variable holds
	params    map[types.Object]bool
	// the assignments to variables and fields of type int
	numbers map[types.Object][]ast.KeyValueExpr
	// the control data that is sent or left to a caller, and what is parsed from it
	passed    map[types.Object]bool
	aliases   map[types.Object]types.Object // the x of v, ok := x.(T)
	summaries map[types.Object]*summary     // of the package's functions
}

// shared collects the calls of a package, and what its functions do with descriptors, which are its facts.
var shared = &analysis.Analyzer{
	Name:             "scmfacts",
	Doc:              "find functions that receive, return or only use descriptors",
	RunDespiteErrors: true,
	FactTypes:        []analysis.Fact{new(summary)},
	ResultType:       reflect.TypeFor[*pass](),
	Run:              func(p *analysis.Pass) (any, error) { return newPass(p), nil },
}

func newPass(of *analysis.Pass) *pass {
	p := &pass{
		Pass: of, holds: map[types.Object]string{}, owns: map[types.Object]string{}, params: map[types.Object]bool{}, aliases: map[types.Object]types.Object{},
		passed: map[types.Object]bool{}, summaries: map[types.Object]*summary{}, numbers: map[types.Object][]ast.KeyValueExpr{},
	}
	for _, file := range p.Files {
		if !p.isTest(file) {
			preorder(file, nil, p.visit)
		}
	}
	p.summarize()
	for _, n := range p.calls {
		n.describe()
	}
	p.findPassed()
	p.rights = p.mayReceive()
	return p
}

func (p *pass) isTest(file *ast.File) bool {
	return strings.HasSuffix(p.Fset.File(file.FileStart).Name(), "_test.go")
}

// mayReceive reports whether the package takes descriptors from control data, or leaves the control data that it
// receives to others. Such a package counts only if it does not mention kinds of sockets that carry no descriptors.
func (p *pass) mayReceive() bool {
	received, parsed, other := false, false, false
	for _, n := range p.calls {
		if n.id == descriptors || n.result == descriptors {
			return true
		}
		received = received || n.oob != nil
		parsed = parsed || n.id == messages
	}
	for _, used := range p.TypesInfo.Uses {
		switch name := id(used); name {
		case "unix.SCM_RIGHTS":
			return true
		case "unix.AF_UNIX", "unix.AF_LOCAL", "unix.AF_UNSPEC", "unix.SockaddrUnix", "unix.Sockaddr":
		default:
			other = other || strings.HasPrefix(name, "unix.AF_") || strings.HasPrefix(name, "unix.Sockaddr")
		}
	}
	return received && !parsed && !other
}
