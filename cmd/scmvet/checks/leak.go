package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// leaks reports the first return between an assignment of descriptors to a local variable and the first use of the variable
// that may close the descriptors or pass them on. The variable may also be the control buffer, or the messages in it.
func leaks(p *pass) {
	for _, n := range p.calls {
		l := &leak{pass: p, call: n}
		if !p.rights || n.assign == nil || n.result == 0 && n.oob == nil {
			continue
		}
		l.carrier, l.err = p.object(n.assign.Lhs[0]), p.object(n.assign.Lhs[len(n.assign.Lhs)-1])
		if n.oob != nil {
			l.carrier = p.object(n.oob)
		}
		if l.carrier == nil || !l.isLocal() {
			continue
		}
		use, done := l.use(), false
		ast.PreorderStack(n.decl.Body, nil, func(n ast.Node, stack []ast.Node) bool {
			r, ok := n.(*ast.ReturnStmt)
			excludes := func(outer ast.Node) bool { return l.excludes(outer, r) }
			if ok && !done && l.assign.End() < r.Pos() && r.End() <= use && !slices.ContainsFunc(stack, excludes) {
				done = true
				p.report(r, "this return leaks the descriptors from line "+strconv.Itoa(p.Fset.Position(l.Pos()).Line), "")
			}
			return true
		})
	}
}

// A leak is a search for a return after a call.
type leak struct {
	*pass
	*call
	carrier types.Object // the variable
	err     types.Object // the error of the same assignment
}

func (l *leak) isCarrier(e ast.Expr) bool { return l.object(e) == l.carrier }

// isLocal reports whether the function declares the variable, and no function literal uses it, which may be deferred.
func (l *leak) isLocal() bool {
	body := l.decl.Body
	return body.Pos() < l.carrier.Pos() && l.carrier.Pos() < body.End() && !found(body, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncLit)
		return ok && l.mentions(f, id(l.carrier))
	})
}

// use returns where the function first may close the descriptors, pass them on, or receive others.
func (l *leak) use() token.Pos {
	use := l.decl.Body.End()
	ast.Inspect(l.decl.Body, func(n ast.Node) bool {
		if n == nil || use < l.decl.Body.End() || n.End() <= l.assign.End() {
			return false
		}
		switch n := n.(type) {
		case *ast.CallExpr:
			pkg, _, _ := strings.Cut(l.callee(n), ".")
			return pkg != "fmt" && pkg != "log" && pkg != "errors" && pkg != "len"
		case *ast.Ident:
			if l.isCarrier(n) && n.Pos() > l.assign.End() {
				use = n.Pos()
			}
		}
		return true
	})
	return use
}

// excludes reports whether a node has a return that is in another function, or not possible after a receive without an error.
func (l *leak) excludes(outer ast.Node, r *ast.ReturnStmt) bool {
	switch n := outer.(type) {
	case *ast.FuncLit:
		return true
	case *ast.IfStmt:
		return n.Cond.Pos() > l.assign.Pos() && r.Pos() < n.Body.End() && l.isImpossible(n.Cond)
	case *ast.CaseClause:
		return n.Pos() > l.assign.Pos() && n.List != nil && !slices.ContainsFunc(n.List, func(e ast.Expr) bool { return !l.isImpossible(e) })
	}
	return false
}

// isImpossible reports whether a condition cannot hold after descriptors were received without an error.
func (l *leak) isImpossible(cond ast.Expr) bool {
	switch e := cond.(type) {
	case *ast.CallExpr: // errors.Is(err, unix.EAGAIN)
		return len(e.Args) > 0 && l.isError(e.Args[0])
	case *ast.BinaryExpr:
		want := l.TypesInfo.Types[e.Y].Value
		isLength := l.oob != nil && l.same(e.X, l.assign.Lhs[1])
		isCount := isLength || l.isCarrier(l.counted(e.X)) || l.oob != nil && l.same(e.X, l.assign.Lhs[0])
		switch {
		case e.Op == token.LAND:
			return l.isImpossible(e.X) || l.isImpossible(e.Y)
		case e.Op == token.LOR:
			return l.isImpossible(e.X) && l.isImpossible(e.Y)
		case l.isError(e.X):
			return (e.Op == token.EQL) != l.TypesInfo.Types[e.Y].IsNil()
		case isLength && want == nil: // the length of a buffer for one descriptor
			return e.Op == token.NEQ
		case isCount && want != nil:
			one := constant.Compare(constant.MakeInt64(1), e.Op, want)
			many := constant.Compare(constant.MakeInt64(1<<30), e.Op, want)
			return !one && (!many || l.result == messages) // Linux puts all descriptors into one message.
		}
	}
	return false
}

// isError reports whether an expression is the error of the assignment, and no other assignment changes it before.
func (l *leak) isError(e ast.Expr) bool {
	return l.err != nil && l.object(e) == l.err && !found(l.decl.Body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		isErr := func(left ast.Expr) bool { return l.object(left) == l.err }
		return ok && l.assign.End() < a.Pos() && a.End() < e.Pos() && slices.ContainsFunc(a.Lhs, isErr)
	})
}
