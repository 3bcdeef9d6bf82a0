package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// leaks reports the first return between an assignment of descriptors to a local variable and the first use of the variable
// that may close the descriptors or pass them on. The variable may also be the control buffer, or the messages in it.
func leaks(p *pass) {
	for _, l := range p.calls {
		if !p.rights || l.result == "" && l.oob == nil || l.carrier == nil || !l.isLocal() {
			continue
		}
		use, done := l.use(), false
		ast.PreorderStack(l.body, nil, func(n ast.Node, stack []ast.Node) bool {
			r, ok := n.(*ast.ReturnStmt)
			if ok && !done && l.assign.End() < r.Pos() && r.End() <= use && !l.excludes(stack, r) {
				done = true
				p.report(r, "this return leaks the descriptors from line "+strconv.Itoa(p.line(l.Pos()).Line), "")
			}
			return true
		})
	}
}

// isLocal reports whether the function declares the variable, and no function literal uses it, which may be deferred.
func (l *call) isLocal() bool {
	return l.body != nil && l.body.Pos() < l.carrier.Pos() && l.carrier.Pos() < l.body.End() && !found(l.body, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncLit)
		return ok && l.mentions(f, id(l.carrier))
	})
}

// use returns where the function first may close the descriptors, pass them on, or receive others.
func (l *call) use() token.Pos {
	use := l.body.End()
	ast.Inspect(l.body, func(n ast.Node) bool {
		if n == nil || use < l.body.End() || n.End() <= l.assign.End() {
			return false
		}
		switch n := n.(type) {
		case *ast.CallExpr:
			pkg, _, _ := strings.Cut(id(l.callee(n)), ".")
			return pkg != "fmt" && pkg != "log" && pkg != "errors" && pkg != "len"
		case *ast.Ident:
			if l.object(n) == l.carrier && n.Pos() > l.assign.End() {
				use = n.Pos()
			}
		}
		return true
	})
	return use
}

// excludes reports whether the nodes around a return are another function, or not reached after a receive without an error.
func (l *call) excludes(stack []ast.Node, r *ast.ReturnStmt) bool {
	var tag ast.Expr // of the innermost switch
	return slices.ContainsFunc(stack, func(outer ast.Node) bool {
		isPossible := func(e ast.Expr) bool {
			return tag == nil && !l.isImpossible(e) || tag != nil && !l.isImpossible(&ast.BinaryExpr{X: tag, Op: token.EQL, Y: e})
		}
		switch n := outer.(type) {
		case *ast.FuncLit:
			return true
		case *ast.IfStmt:
			return n.Cond.Pos() > l.assign.Pos() && r.Pos() < n.Body.End() && l.isImpossible(n.Cond)
		case *ast.SwitchStmt:
			tag = n.Tag
		case *ast.CaseClause:
			return n.Pos() > l.assign.Pos() && (n.List != nil || l.isError(tag)) && !slices.ContainsFunc(n.List, isPossible)
		}
		return false
	})
}

// isImpossible reports whether a condition cannot hold after descriptors were received without an error.
func (l *call) isImpossible(cond ast.Expr) bool {
	switch e := cond.(type) {
	case *ast.CallExpr: // errors.Is(err, unix.EAGAIN), err.Timeout()
		return found(e, func(n ast.Node) bool { x, ok := n.(ast.Expr); return ok && l.isError(x) })
	case *ast.BinaryExpr:
		want := l.integer(e.Y)
		isLength := l.oob != nil && l.same(e.X, l.assign.Lhs[1])
		isCount := isLength || l.object(l.counted(e.X)) == l.carrier || l.oob != nil && l.same(e.X, l.assign.Lhs[0])
		switch {
		case e.Op == token.LAND:
			return l.isImpossible(e.X) || l.isImpossible(e.Y)
		case e.Op == token.LOR:
			return l.isImpossible(e.X) && l.isImpossible(e.Y)
		case l.isError(e.X):
			return (e.Op == token.EQL) != l.TypesInfo.Types[e.Y].IsNil()
		case isLength && want == nil: // the length of a buffer for one descriptor
			return e.Op == token.NEQ
		case isCount && want != nil && isComparison(e.Op):
			one := constant.Compare(constant.MakeInt64(1), e.Op, want)
			many := constant.Compare(constant.MakeInt64(1<<30), e.Op, want)
			return !one && (!many || l.result == messages) // Linux puts all descriptors into one message.
		}
	}
	return false
}

func isComparison(op token.Token) bool {
	return slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, op)
}

// isError reports whether an expression is the error of the assignment, and no other assignment before it sets another error.
func (l *call) isError(e ast.Expr) bool {
	return l.err != nil && l.object(e) == l.err && !found(l.body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		isErr := func(left ast.Expr) bool { return l.object(left) == l.err }
		return ok && l.assign.End() < a.Pos() && a.End() < e.Pos() && slices.ContainsFunc(a.Lhs, isErr) && !l.mentions(a.Rhs[0], id(l.err))
	})
}
