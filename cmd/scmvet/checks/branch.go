package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A target is a statement that break and continue refer to.
type target struct {
	label  string
	isLoop bool
	start  token.Pos
	from   bool  // the call is in the loop
	out    state // after each break
	next   state // after each continue
	keeps  bool  // a continue leaves descriptors in a variable declared before the loop
}

// loop returns the state after a loop. skipped is the state if the body never runs. It is dead for a loop over the
// descriptors, because the body runs if there are any. A continue counts only if no iteration reaches the end of the
// body.
func (f *flow) loop(n ast.Stmt, body *ast.BlockStmt, s, skipped state, label string) state {
	t := &target{label: label, isLoop: true, start: n.Pos(), from: n.Pos() <= f.CallExpr.Pos() && f.CallExpr.End() <= n.End(), out: dead, next: dead}
	f.targets = append(f.targets, t)
	end := f.list(body.List, s)
	if t.keeps = t.keeps || end == open; t.keeps && t.from && f.survives(t) {
		f.again(n, body, t)
	}
	f.targets = f.targets[:len(f.targets)-1]
	if end == dead {
		end = t.next
	}
	if loop, ok := n.(*ast.ForStmt); ok {
		if loop.Cond == nil {
			return t.out
		}
		if end == open && f.tracker.takes(loop.Post) {
			end = done
		}
	}
	return join(join(skipped, end), t.out)
}

// firstCond returns the condition of a loop in its first iteration, such as 0 < len(fds) for i := 0; i < len(fds); i++.
func firstCond(n *ast.ForStmt) ast.Expr {
	init, isAssign := n.Init.(*ast.AssignStmt)
	cond, isBinary := n.Cond.(*ast.BinaryExpr)
	if !isAssign || !isBinary || types.ExprString(cond.X) != types.ExprString(init.Lhs[0]) {
		return n.Cond
	}
	return &ast.BinaryExpr{X: init.Rhs[0], OpPos: cond.OpPos, Op: cond.Op, Y: cond.Y}
}

// evaluate returns the state after what a select evaluates before it chooses a clause.
func (f *flow) evaluate(body *ast.BlockStmt, s state) state {
	for _, clause := range body.List {
		switch n := clause.(*ast.CommClause).Comm.(type) {
		case nil:
		case *ast.SendStmt:
			s = f.node(n.Value, s)
		default:
			s = f.node(n, s)
		}
	}
	return s
}

// clauses returns the state after a switch or a select. The default clause is the last one that a switch tries,
// wherever it is.
func (f *flow) clauses(body *ast.BlockStmt, tag ast.Expr, s state, label string) state {
	t := &target{label: label, out: dead}
	f.targets = append(f.targets, t)
	rest := s
	isDefault := func(n ast.Stmt) bool { c, ok := n.(*ast.CaseClause); return ok && c.List == nil }
	list := slices.DeleteFunc(slices.Clone(body.List), isDefault)
	if i := slices.IndexFunc(body.List, isDefault); i >= 0 {
		list = append(list, body.List[i])
	}
	for _, clause := range list {
		switch c := clause.(type) {
		case *ast.CommClause:
			t.out, rest = join(t.out, f.list(c.Body, f.statement(c.Comm, s, ""))), dead
		case *ast.CaseClause:
			in := dead
			for _, e := range c.List {
				rest = f.node(e, rest)
				if tag != nil {
					e = &ast.BinaryExpr{X: tag, OpPos: e.Pos(), Op: token.EQL, Y: e}
				}
				in, rest = join(in, f.when(e, true, rest)), f.when(e, false, rest)
			}
			if c.List == nil {
				in, rest = rest, dead
			}
			t.out = join(t.out, f.list(c.Body, in))
		}
	}
	f.targets = f.targets[:len(f.targets)-1]
	return join(t.out, rest)
}

// branch handles break and continue, but does not follow goto and fallthrough. A continue leaks descriptors that no
// variable outside of the loop has.
func (f *flow) branch(n *ast.BranchStmt, s state) state {
	for _, t := range slices.Backward(f.targets) {
		isIt := n.Label == nil || n.Label.Name == t.label
		switch {
		case isIt && n.Tok == token.BREAK:
			t.out = join(t.out, s)
			return dead
		case isIt && n.Tok == token.CONTINUE && t.isLoop:
			if s == open && t.from && !f.survives(t) {
				f.report(n)
				return dead
			}
			t.keeps, t.next = t.keeps || s == open, join(t.next, s)
			return dead
		}
	}
	return dead
}

// jumpsTo reports whether a goto after the call jumps to a label.
func (f *flow) jumpsTo(label string) bool {
	return found(f.home, func(n ast.Node) bool {
		b, ok := n.(*ast.BranchStmt)
		return ok && b.Tok == token.GOTO && b.Label != nil && b.Label.Name == label && f.CallExpr.Pos() < b.Pos()
	})
}

// ends reports whether a call ends the function or the program.
func (f *flow) ends(e ast.Expr) bool {
	n, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	name := name(f.callee(n))
	return name == "panic" || name == "Goexit" || strings.HasPrefix(name, "Fatal") || strings.HasPrefix(name, "Exit") || strings.HasPrefix(name, "Panic")
}
