package checks

import (
	"go/ast"
	"go/types"
)

// newFiles reports calls of os.NewFile on received descriptors.
func newFiles(p *pass) {
	for _, n := range p.calls {
		if n.id == "os.NewFile" && p.value(n.Args[0]) == descriptor {
			p.report(n, "os.NewFile polls the received file, so a sender that serves the file by FUSE can stop the whole program", "")
		}
	}
}

// closeLoops reports loops over descriptors that close the index.
func closeLoops(p *pass) {
	for _, n := range p.calls {
		for _, outer := range n.stack {
			loop, ok := outer.(*ast.RangeStmt)
			if ok && n.id == "unix.Close" && p.same(p.operand(n.Args[0]), loop.Key) && p.TypesInfo.TypeOf(loop.X).String() == "[]int" {
				index := types.ExprString(loop.Key)
				fd := types.ExprString(loop.X) + "[" + index + "]"
				p.report(n.Args[0], "this closes the index "+index+", which may be another file of the program, instead of "+fd, fd)
			}
		}
	}
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
		ast.PreorderStack(n.decl.Body, []ast.Node{n.decl}, func(e ast.Node, stack []ast.Node) bool {
			x, _ := e.(ast.Expr)
			s, ok := stack[len(stack)-1].(*ast.SelectorExpr)
			switch {
			case fd == nil && ok && s.Sel.Name == "Fd" && p.same(x, n.assign.Lhs[0]):
				fd = s
			case p.same(x, conn):
				isClose := ok && s.Sel.Name == "Close"
				closed = closed || isClose
				used = used || fd != nil && !isClose
			}
			return true
		})
		if fd != nil && (used || !closed) {
			p.report(fd, "Fd clears O_NONBLOCK, so "+types.ExprString(conn)+" blocks a thread and ignores its deadlines from here on", "")
		}
	}
}
