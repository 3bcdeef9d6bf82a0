package checks

import (
	"go/ast"
	"go/types"
	"slices"
)

// newFlow returns the flow of descriptors from a call, or nil if a function literal, which may be deferred, has them
// too.
func newFlow(l *call, carrier types.Object) *flow {
	f := &flow{call: l, home: l.body, tracker: tracker{l.pass, l.decl, nil, map[types.Object]bool{carrier: true}}}
	v, ok := carrier.(*types.Var)
	if l.body == nil || !ok || carrier.Parent() == l.Pkg.Scope() {
		return nil
	}
	for _, n := range l.stack {
		if lit, ok := n.(*ast.FuncLit); ok {
			if v.IsField() || lit.Pos() < carrier.Pos() && carrier.Pos() < lit.End() {
				f.home, f.tracker.home, f.tracker.except = lit.Body, lit, nil
			} else if f.tracker.except == nil && lit.Body != f.home {
				f.tracker.except = lit
			}
		}
	}
	// The caller has the buffer, but it does not look at it after an error.
	f.onError = l.oob != nil && (v.IsField() || carrier.Pos() < f.home.Pos() && !isResultOf(l, carrier))
	if f.tracker.isCaptured(carrier) || f.onError && f.tracker.except != nil {
		return nil
	}
	for _, left := range l.assign.Lhs {
		f.addError(left)
	}
	for _, n := range l.stack {
		if a, ok := n.(*ast.AssignStmt); ok && f.tracker.except != nil && a.Pos() < f.tracker.except.Pos() {
			f.addError(a.Lhs[len(a.Lhs)-1])
		}
	}
	return f
}

// isMain reports whether a function is main, whose end closes everything.
func isMain(n ast.Node) bool {
	f, ok := n.(*ast.FuncDecl)
	return ok && f.Recv == nil && f.Name.Name == "main"
}

func (f *flow) addError(e ast.Expr) {
	if obj := f.object(e); obj != nil && isErrorOrBool(obj.Type()) {
		f.errs = append(f.errs, obj)
	}
}

// isResultOf reports whether a variable is a named result of the function around a call.
func isResultOf(l *call, obj types.Object) bool {
	return slices.ContainsFunc(l.stack, func(n ast.Node) bool {
		var t *ast.FuncType
		switch n := n.(type) {
		case *ast.FuncDecl:
			t = n.Type
		case *ast.FuncLit:
			t = n.Type
		}
		return t != nil && t.Results != nil && t.Results.Pos() <= obj.Pos() && obj.Pos() <= t.Results.End()
	})
}
