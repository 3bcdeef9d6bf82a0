package checks

import (
	"go/ast"
	"go/token"
	"slices"
)

// mayCount reports whether an expression may be the number of descriptors or messages.
func (f *flow) mayCount(e ast.Expr) bool {
	list := f.counted(e)
	return list != nil && f.isList(list)
}

// counts reports whether a node mentions the number of descriptors or messages.
func (f *flow) counts(n ast.Node) bool {
	return found(n, func(n ast.Node) bool { e, ok := n.(ast.Expr); return ok && f.mayCount(e) })
}

// isCount reports whether an expression is the number of descriptors or messages, and so is not 0. For a variable, its
// last assignment must be in a block that contains the call or the expression, and nothing may change it or the list
// after that.
func (f *flow) isCount(e ast.Expr) bool {
	if !f.mayCount(e) {
		return false
	}
	list := f.counted(e)
	if contains(e, list) {
		return true
	}
	block := f.Pkg.Scope().Innermost(list.Pos())
	if !block.Contains(e.Pos()) && !block.Contains(f.CallExpr.Pos()) {
		return false
	}
	isSet, isChanged := false, false
	preorder(f.home, nil, func(n ast.Node, stack []ast.Node) bool {
		switch {
		case !f.changes(n, e, list):
		case contains(n, list):
			a, ok := n.(*ast.AssignStmt)
			isSet = !ok || slices.Contains([]token.Token{token.ASSIGN, token.DEFINE, token.ADD_ASSIGN}, a.Tok)
		default:
			isNext := func(outer ast.Node) bool { return isRound(outer, e) && !isRound(outer, list) }
			isChanged = isChanged || list.End() < n.Pos() && n.Pos() < e.Pos() || slices.ContainsFunc(stack, isNext)
		}
		return true
	})
	return isSet && !isChanged
}

// changes reports whether a node sets a variable or field, the struct of the field, or the list that was counted.
func (f *flow) changes(n ast.Node, e, list ast.Expr) bool {
	is := func(x ast.Expr) bool {
		field, ok := ast.Unparen(e).(*ast.SelectorExpr)
		return f.same(x, e) || f.same(x, list) || ok && f.same(x, field.X)
	}
	switch n := n.(type) {
	case *ast.ValueSpec:
		return slices.ContainsFunc(n.Names, func(name *ast.Ident) bool { return is(name) })
	case *ast.AssignStmt:
		return slices.ContainsFunc(n.Lhs, is)
	case *ast.IncDecStmt:
		return is(n.X)
	case *ast.RangeStmt:
		return is(n.Key) || is(n.Value)
	case *ast.UnaryExpr:
		return n.Op == token.AND && is(n.X)
	}
	return false
}

// isRound reports whether a node is in the body of a loop.
func isRound(loop, n ast.Node) bool {
	switch loop := loop.(type) {
	case *ast.ForStmt:
		return contains(loop.Body, n)
	case *ast.RangeStmt:
		return contains(loop.Body, n)
	}
	return false
}
