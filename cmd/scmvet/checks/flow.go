package checks

import (
	"go/ast"
	"go/types"
)

// A flow follows the descriptors of a call through the statements of a function.
type flow struct {
	*call
	tracker tracker
	home    *ast.BlockStmt // the body of the function
	errs    []types.Object // variables that hold an error or false if nothing was received
	targets []*target      // the loops and switches around the statement
	round   ast.Stmt       // the loop whose later iterations are followed, or nil
	onError bool           // report only returns of an error
	report  func(n ast.Node)
}

type state int

// The states are in this order, because where ways join, the latest one counts.
const (
	before state = iota // the call has not returned
	open
	done // the descriptors may be closed, or are passed on
	dead // not reached
)

func join(a, b state) state {
	if a == dead || b != dead && b > a {
		return b
	}
	return a
}

func (f *flow) list(list []ast.Stmt, s state) state {
	for _, n := range list {
		s = f.statement(n, s, "")
	}
	return s
}

// statement returns the state after a statement.
func (f *flow) statement(n ast.Stmt, s state, label string) state {
	switch n := n.(type) {
	case nil:
		return s
	case *ast.BlockStmt:
		return f.list(n.List, s)
	case *ast.LabeledStmt:
		if s == open && f.jumpsTo(n.Label.Name) {
			s = done // perhaps they are closed before the goto
		}
		return f.statement(n.Stmt, s, n.Label.Name)
	case *ast.IfStmt:
		s = f.node(n.Cond, f.statement(n.Init, s, ""))
		return join(f.statement(n.Body, f.when(n.Cond, true, s), ""), f.statement(n.Else, f.when(n.Cond, false, s), ""))
	case *ast.ForStmt:
		s = f.statement(n.Init, s, "")
		skipped := dead
		if n.Cond != nil {
			s = f.node(n.Cond, s)
			if first := firstCond(n); first != n.Cond || !f.counts(first) {
				skipped = f.when(first, false, s)
			}
		}
		return f.loop(n, n.Body, s, skipped, label)
	case *ast.RangeStmt:
		// notes the variable
		s = f.node(&ast.RangeStmt{Key: n.Key, Value: n.Value, X: n.X, Body: &ast.BlockStmt{}}, s)
		skipped := s
		if s == open {
			if f.isList(n.X) || f.isCount(n.X) {
				skipped = dead
			}
			f.rest(n)
		}
		return f.loop(n, n.Body, s, skipped, label)
	case *ast.SwitchStmt:
		s = f.statement(n.Init, s, "")
		if n.Tag != nil {
			s = f.node(n.Tag, s)
		}
		return f.clauses(n.Body, n.Tag, s, label)
	case *ast.TypeSwitchStmt:
		return f.clauses(n.Body, nil, f.statement(n.Assign, f.statement(n.Init, s, ""), ""), label)
	case *ast.SelectStmt:
		return f.clauses(n.Body, nil, f.evaluate(n.Body, s), label)
	case *ast.ReturnStmt:
		if s = f.node(n, s); s == open && f.leaksAt(n) {
			f.report(n)
		}
		return dead
	case *ast.BranchStmt:
		return f.branch(n, s)
	}
	if e, ok := n.(*ast.ExprStmt); ok && f.ends(e.X) {
		return dead
	}
	return f.node(n, s)
}

// node returns the state after a simple statement or an expression.
func (f *flow) node(n ast.Node, s state) state {
	switch {
	case n.Pos() <= f.CallExpr.Pos() && f.CallExpr.End() <= n.End():
		return open
	case s == open && f.tracker.takes(n):
		return done
	}
	return s
}

// when returns the state after a condition.
func (f *flow) when(cond ast.Expr, is bool, s state) state {
	switch {
	case s == open && f.isImpossible(cond, is):
		return dead
	case s == open && f.oob != nil && f.decides(cond):
		return done // perhaps there was no buffer
	}
	return s
}
