package checks

import (
	"go/ast"
	"go/token"
	"go/types"
)

// fdCalls reports calls of Fd on the file of a connection that stays in use: neither the function nor its callers close
// it.
//
//	f, err := conn.File()
//	use(f.Fd())
func fdCalls(p *pass) {
	for _, n := range p.calls {
		s, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || n.id != "net.File" || n.assign == nil || n.body == nil || p.mentions(n.decl, "unix.SetNonblock") {
			continue
		}
		conn := p.object(p.operand(s.X))
		file := p.object(n.assign.Lhs[0])
		var fd *ast.SelectorExpr
		isFd := func(e ast.Node) bool {
			fd, ok = e.(*ast.SelectorExpr)
			return ok && fd.Sel.Name == "Fd" && file != nil && p.object(fd.X) == file
		}
		if found(n.body, isFd) && !p.isClosed(n.body, conn, fd.Pos()) && !p.callersClose(n, conn, fd.Pos()) {
			p.report(fd, "Fd clears O_NONBLOCK, so "+types.ExprString(p.operand(s.X))+" blocks a thread and ignores its deadlines from here on", "")
		}
	}
}

// isClosed reports whether a function closes a connection, and does not use it for anything else after a position.
func (p *pass) isClosed(body ast.Node, conn types.Object, after token.Pos) bool {
	used, closed := p.uses(body, conn, after)
	return closed && !used
}

// uses reports whether a function uses a connection after a position, and whether it closes it anywhere.
func (p *pass) uses(body ast.Node, conn types.Object, after token.Pos) (used, closed bool) {
	preorder(body, []ast.Node{body}, func(n ast.Node, stack []ast.Node) bool {
		e, isExpr := n.(ast.Expr)
		if !isExpr || conn == nil || p.object(e) != conn {
			return true
		}
		s, ok := stack[len(stack)-1].(*ast.SelectorExpr)
		isClose := ok && s.X == e && s.Sel.Name == "Close"
		closed = closed || isClose
		used = used || !isClose && e.Pos() > after
		return false
	})
	return used, closed
}

// callersClose reports whether the connection is a parameter, and every caller in the package closes it right
// afterwards.
func (p *pass) callersClose(n *call, conn types.Object, after token.Pos) bool {
	decl, ok := n.decl.(*ast.FuncDecl)
	if used, _ := p.uses(n.body, conn, after); used || !ok {
		return false
	}
	fn, ok := p.TypesInfo.Defs[decl.Name].(*types.Func)
	if !ok {
		return false
	}
	callers := 0
	for _, c := range p.calls {
		for i := range fn.Signature().Params().Len() {
			if c.fn != fn || c.body == nil || fn.Signature().Params().At(i) != conn {
				continue
			}
			if callers++; !p.isClosed(c.body, p.object(p.operand(c.Args[i])), c.End()) {
				return false
			}
		}
	}
	return callers > 0
}
