package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// isImpossible reports whether a condition cannot have a value after descriptors were received without an error.
func (f *flow) isImpossible(cond ast.Expr, value bool) bool {
	switch e := ast.Unparen(cond).(type) {
	case *ast.Ident: // ok
		return !value && f.isError(e)
	case *ast.CallExpr: // errors.Is(err, unix.EAGAIN), err.Timeout()
		return value && found(e, func(n ast.Node) bool { x, ok := n.(ast.Expr); return ok && f.isError(x) })
	case *ast.UnaryExpr:
		return e.Op == token.NOT && f.isImpossible(e.X, !value)
	case *ast.BinaryExpr:
		switch {
		case e.Op == token.LAND && value || e.Op == token.LOR && !value:
			return f.isImpossible(e.X, value) || f.isImpossible(e.Y, value)
		case e.Op == token.LAND || e.Op == token.LOR:
			return f.isImpossible(e.X, value) && f.isImpossible(e.Y, value)
		case isComparison(e.Op):
			op := e.Op
			if !value {
				op = opposites[op]
			}
			return f.neverHolds(e.X, op, e.Y) || f.neverHolds(e.Y, mirrored[op], e.X)
		}
	}
	return false
}

var (
	opposites = map[token.Token]token.Token{token.EQL: token.NEQ, token.NEQ: token.EQL, token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR}
	mirrored  = map[token.Token]token.Token{token.EQL: token.EQL, token.NEQ: token.NEQ, token.LSS: token.GTR, token.GTR: token.LSS, token.LEQ: token.GEQ, token.GEQ: token.LEQ}
)

// neverHolds reports whether a comparison does not hold after a receive with descriptors.
func (f *flow) neverHolds(x ast.Expr, op token.Token, y ast.Expr) bool {
	from, want, isNil := f.summary(f.fn), f.integer(y), f.TypesInfo.Types[y].IsNil()
	if b, ok := ast.Unparen(x).(*ast.BinaryExpr); ok && b.Op == token.SUB && want != nil && f.integer(b.Y) != nil {
		x, want = b.X, constant.BinaryOp(want, token.ADD, f.integer(b.Y)) // len(fds)-1 >= 0
	}
	isResult := func(i int) bool { return f.oob != nil && f.lhs(i) != nil && f.same(x, f.lhs(i)) }
	isError, isCarrier, isCount := f.isError(x), f.tracker.carriers[f.object(x)], f.isCount(x)
	isLength := isResult(from.Length)
	isBytes := isResult(1) && !isLength
	isRights := f.mentions(y, "unix.SCM_RIGHTS") || f.mentions(y, "unix.SOL_SOCKET")
	isOther := f.mentions(y, "unix.SCM_CREDENTIALS") || f.mentions(y, "unix.SCM_PIDFD")
	rows := []struct {
		is    bool
		ops   string // the operators with which the comparison never holds
		least int64  // if it is with a number: the least possible value of x
	}{
		{isError && isNil, "!=", 0},                                       // err != nil
		{isError && !isNil, "==", 0},                                      // err == unix.EAGAIN
		{isCarrier && isNil, "==", 0},                                     // fds == nil
		{isRights && f.result != descriptors, "!=", 0},                    // m.Header.Type != unix.SCM_RIGHTS
		{isLength && want == nil, "!= <", 0},                              // oobn != unix.CmsgSpace(4)
		{isLength && f.isSize(f.oob, y), ">", 0},                          // oobn > len(oob)
		{isLength && want != nil && compare(0, token.LSS, want), "!=", 0}, // oobn != 24
		{isLength, "", 24},                                                // oobn == 0, oobn < unix.SizeofCmsghdr
		{isBytes && from.Buffer > 1 && f.isSize(f.operand(f.Args[from.Buffer-2]), y), ">", 0}, // n > len(p)
		{isBytes, "", 1},                           // n == 0
		{isCarrier && f.oob == nil, "", 3},         // fd < 0
		{isCount, "", 1},                           // len(fds) == 0
		{f.isLater(x), "", 1},                      // got == 0
		{isOther && f.result == messages, "==", 0}, // m.Header.Type == unix.SCM_CREDENTIALS
	}
	for _, row := range rows {
		if row.is && (slices.Contains(strings.Fields(row.ops), op.String()) || row.least > 0 && want != nil && isBelow(row.least, op, want)) {
			return true
		}
	}
	return isCount && want != nil && !compare(1, op, want) && f.isOnlyOne() // len(messages) != 1
}

// isBelow reports whether a comparison holds only for numbers less than the least possible one.
func isBelow(least int64, op token.Token, want constant.Value) bool {
	switch op {
	case token.EQL:
		return !compare(least, token.LEQ, want)
	case token.LSS, token.LEQ:
		return !compare(least, op, want)
	}
	return false
}

// isOnlyOne reports whether there can be only one message, or one descriptor. Linux puts all descriptors into one
// message, but credentials and pidfds into others.
func (f *flow) isOnlyOne() bool {
	if f.result == messages {
		others := []string{"SizeofUcred", "SCM_CREDENTIALS", "SO_PASSCRED", "ParseUnixCredentials", "SCM_PIDFD", "SO_PASSPIDFD"}
		return !slices.ContainsFunc(others, func(name string) bool { return f.mentions(f.decl, "unix."+name) })
	}
	return f.makes(f.call, "unix.CmsgLen")
}

func compare(x int64, op token.Token, y constant.Value) bool {
	return constant.Compare(constant.MakeInt64(x), op, y)
}

// isList reports whether an expression is a list that has the descriptors or the messages.
func (f *flow) isList(e ast.Expr) bool { return f.oob == nil && f.tracker.carriers[f.object(e)] }

// isError reports whether an expression is the error of the call, and no other assignment before it sets another error.
func (f *flow) isError(e ast.Expr) bool {
	obj := f.object(e)
	return obj != nil && slices.Contains(f.errs, obj) && !found(f.home, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		isErr := func(left ast.Expr) bool { return f.object(left) == obj }
		return ok && f.assign.End() < a.Pos() && a.End() < e.Pos() && slices.ContainsFunc(a.Lhs, isErr) && !f.mentions(a.Rhs[0], id(obj)) && !f.isElse(a)
	})
}

// isElse reports whether a statement is in the other branch of an if around the call.
func (f *flow) isElse(n ast.Node) bool {
	return found(f.home, func(m ast.Node) bool {
		i, ok := m.(*ast.IfStmt)
		return ok && i.Else != nil && (contains(i.Body, f.CallExpr) && contains(i.Else, n) || contains(i.Else, f.CallExpr) && contains(i.Body, n))
	})
}

func isErrorOrBool(t types.Type) bool {
	return t != nil && (types.Identical(t, types.Universe.Lookup("error").Type()) || isBasic(t, types.Bool))
}

func isComparison(op token.Token) bool {
	return slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, op)
}
