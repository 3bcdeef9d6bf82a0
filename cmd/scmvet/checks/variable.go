package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// isCaptured reports whether a function literal, which may be deferred, uses a variable.
func (t *tracker) isCaptured(obj types.Object) bool {
	return found(t.home, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncLit)
		return ok && f != t.home && f != t.except && t.mentionsObject(f, obj)
	})
}

// isFresh reports whether a local variable is a struct that the function made.
func (p *pass) isFresh(obj types.Object) bool {
	v, ok := obj.(*types.Var)
	if !ok || v.IsField() || p.params[obj] || obj.Parent() == p.Pkg.Scope() {
		return false
	}
	return !slices.ContainsFunc(p.flows, func(a assignment) bool {
		from := ast.Unparen(a.from)
		if u, ok := from.(*ast.UnaryExpr); ok && u.Op == token.AND {
			from = ast.Unparen(u.X)
		}
		n, isCall := from.(*ast.CallExpr)
		_, isLit := from.(*ast.CompositeLit)
		return a.to == obj && !a.isField && !isLit && !(isCall && id(p.callee(n)) == "new")
	})
}
