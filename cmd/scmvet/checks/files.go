package checks

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// newFiles reports calls of os.NewFile on received descriptors, unless the function cleared O_NONBLOCK of the descriptor before.
func newFiles(p *pass) {
	for _, n := range p.calls {
		if n.id == "os.NewFile" && p.value(n.Args[0]) == descriptors && !slices.ContainsFunc(p.calls, n.isBlockingSince) {
			p.report(n, "os.NewFile polls a received file that the sender made non-blocking, so a sender that serves it by FUSE can stop the whole program; use scm.NewFile, or clear O_NONBLOCK first", "")
		}
	}
}

// isBlockingSince reports whether an earlier call in the function cleared O_NONBLOCK of the first argument.
func (n *call) isBlockingSince(earlier *call) bool {
	return earlier.decl == n.decl && earlier.Pos() < n.Pos() && earlier.clearsNonblock() &&
		types.ExprString(n.operand(earlier.Args[0])) == types.ExprString(n.operand(n.Args[0]))
}

// clearsNonblock reports whether a call is SetNonblock(fd, false) or FcntlInt(fd, F_SETFL, flags &^ O_NONBLOCK).
func (n *call) clearsNonblock() bool {
	switch n.id {
	case "unix.SetNonblock":
		on := n.TypesInfo.Types[n.Args[1]].Value
		return on != nil && on.String() == "false"
	case "unix.FcntlInt":
		flags, ok := ast.Unparen(n.Args[2]).(*ast.BinaryExpr)
		return ok && flags.Op == token.AND_NOT && id(n.object(n.Args[1])) == "unix.F_SETFL"
	}
	return false
}

// closeLoops reports loops that close the index of a list of numbers and use none of its elements.
func closeLoops(p *pass) {
	for _, n := range p.calls {
		for _, outer := range n.stack {
			list, index := p.loop(outer)
			isClose := n.id == "unix.Close" && p.same(p.operand(n.Args[0]), index)
			fd := types.ExprString(list) + "[" + types.ExprString(index) + "]"
			uses := func(n ast.Node) bool { e, ok := n.(ast.Expr); return ok && types.ExprString(e) == fd }
			if isClose && p.object(list) != nil && p.TypesInfo.TypeOf(list).String() == "[]int" && !found(outer, uses) {
				p.report(n.Args[0], "this closes the index "+types.ExprString(index)+", which may be another file of the program, instead of "+fd, fd)
			}
		}
	}
}

// loop returns the list and the index of a loop, unless the loop has a variable for the elements.
func (p *pass) loop(n ast.Node) (list, index ast.Expr) {
	switch n := n.(type) {
	case *ast.RangeStmt:
		if n.Value == nil {
			return cmp.Or(p.counted(n.X), n.X), n.Key
		}
	case *ast.ForStmt:
		if cond, ok := n.Cond.(*ast.BinaryExpr); ok {
			return p.counted(cond.Y), cond.X
		}
	}
	return nil, nil
}

// fdCalls reports calls of Fd on the file of a connection that the function does not close or that it uses afterwards.
func fdCalls(p *pass) {
	for _, n := range p.calls {
		s, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || n.id != "net.File" || n.assign == nil || p.mentions(n.decl, "unix.SetNonblock") {
			continue
		}
		conn := p.operand(s.X)
		var fd ast.Node
		used, closed := false, false
		ast.PreorderStack(n.body, []ast.Node{n.decl}, func(e ast.Node, stack []ast.Node) bool {
			x, _ := e.(ast.Expr)
			s, ok := stack[len(stack)-1].(*ast.SelectorExpr)
			switch {
			case fd == nil && ok && s.Sel.Name == "Fd" && p.same(x, n.assign.Lhs[0]):
				fd = s
			case p.same(x, conn) && ok && s.Sel.Name == "Close":
				closed = true
			case p.same(x, conn):
				used = used || fd != nil
			}
			return true
		})
		if fd != nil && (used || !closed) {
			p.report(fd, "Fd clears O_NONBLOCK, so "+types.ExprString(conn)+" blocks a thread and ignores its deadlines from here on", "")
		}
	}
}
