package checks

import (
	"cmp"
	"go/ast"
	"go/types"
)

// closeLoops reports loops that close the index of a list of numbers and use none of its elements.
//
//	for fd := range fds { unix.Close(fd) }
//	for i := 0; i < len(fds); i++ { unix.Close(i) }
func closeLoops(p *pass) {
	for _, n := range p.calls {
		for _, outer := range n.stack {
			list, index := p.loop(outer)
			isClose := n.id == "unix.Close" && p.same(p.operand(n.Args[0]), index)
			fd := types.ExprString(list) + "[" + types.ExprString(index) + "]"
			uses := func(n ast.Node) bool { e, ok := n.(ast.Expr); return ok && types.ExprString(e) == fd }
			if isClose && p.object(list) != nil && isNumbers(p.TypesInfo.TypeOf(list)) && !found(outer, uses) {
				p.report(n.Args[0], "this closes the index "+types.ExprString(index)+", which may be another file of the program, instead of "+fd, fd)
			}
		}
	}
}

func isNumbers(t types.Type) bool { return isSlice(t) && isBasic(elem(t), types.Int) }

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
