package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// isFull reports whether a node compares the length of the control data with the size of a buffer.
//
//	if oobn != unix.CmsgSpace(4)
func (r *call) isFull(n ast.Node) bool {
	b, ok := n.(*ast.BinaryExpr)
	length := r.lhs(r.summary(r.fn).Length)
	if !ok || length == nil || b.Op != token.EQL && b.Op != token.NEQ && b.Op != token.LSS {
		return false
	}
	isSize := func(e ast.Expr) bool { return r.isSize(r.oob, e) || r.integer(e) != nil && !r.isInteger(e, 0) }
	return r.same(b.X, length) && isSize(b.Y) || r.same(b.Y, length) && isSize(b.X)
}

// isSize reports whether an expression is the size of a buffer: its length, the expression with which it was made, or a
// size that CmsgSpace returns.
func (p *pass) isSize(buffer, e ast.Expr) bool {
	if list := p.counted(e); list != nil && p.same(list, buffer) {
		return true
	}
	isMade := func(a assignment) bool {
		n, ok := ast.Unparen(a.from).(*ast.CallExpr)
		if !ok || a.isField || a.to != p.object(buffer) && a.to != p.object(e) {
			return false
		}
		isMake := a.to == p.object(buffer) && len(n.Args) > 1 && types.ExprString(n.Args[1]) == types.ExprString(e)
		return isMake || a.to == p.object(e) && isSpace(p.callee(n))
	}
	n, ok := ast.Unparen(e).(*ast.CallExpr)
	return ok && isSpace(p.callee(n)) || slices.ContainsFunc(p.flows, isMade)
}

func isSpace(fn types.Object) bool { return id(fn) == "unix.CmsgSpace" || id(fn) == "unix.CmsgLen" }
