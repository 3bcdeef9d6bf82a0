package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
)

// leaks reports returns, and continues in loops, that a function reaches after an assignment of descriptors to a
// variable, unless it may have closed them or passed them on. The variable may also be the control buffer, or the
// messages in it.
//
//	fds, err := unix.ParseUnixRights(&messages[0])
//	if err != nil { return err }
//	if len(fds) != 1 { return errCount }
func leaks(p *pass) {
	reported := map[ast.Node]bool{}
	for _, l := range p.calls {
		if !p.rights || l.assign == nil || l.isInternet() || l.oob == nil && slices.ContainsFunc(l.Args, p.isPassedOn) {
			continue
		}
		for i, left := range l.assign.Lhs {
			kind, carrier := "", p.object(left)
			if l.oob != nil && i == 0 {
				kind, carrier = control, p.object(l.oob)
			} else if kinds := l.summary(l.fn).Kinds; i < len(kinds) {
				kind = kinds[i]
			}
			if kind == "" || carrier == nil || carrier.Name() == "_" || len(l.assign.Rhs) != 1 || l.assign.Rhs[0] != l.CallExpr {
				continue
			}
			if field, ok := left.(*ast.SelectorExpr); ok && l.oob == nil {
				if carrier = p.object(field.X); !p.isFresh(carrier) {
					continue // others have the struct too
				}
			}
			if f := newFlow(l, carrier); f != nil {
				f.report = func(n ast.Node) {
					if !reported[n] {
						reported[n] = true
						p.report(n, "this "+wordFor(n)+" leaks the descriptors from line "+strconv.Itoa(p.line(l.Pos()).Line), "")
					}
				}
				if f.list(f.home.List, before) == open && !f.onError && f.oob == nil && !f.isResult() && !isMain(f.tracker.home) {
					f.report(&ast.Ident{NamePos: f.home.Rbrace, Name: "}"})
				}
			}
		}
	}
}

func wordFor(n ast.Node) string {
	switch n.(type) {
	case *ast.ReturnStmt:
		return "return"
	case *ast.Ident:
		return "end of the function"
	}
	return "continue"
}

// leaksAt reports whether a return that does not mention the descriptors leaks them.
func (f *flow) leaksAt(r *ast.ReturnStmt) bool {
	if len(r.Results) == 0 {
		return !f.isResult() && !f.onError && !isMain(f.tracker.home)
	}
	if f.oob != nil && !f.isParsedAfter(r) && !f.onError {
		return false
	}
	last := r.Results[len(r.Results)-1]
	isError := f.TypesInfo.TypeOf(last) != nil && !f.TypesInfo.Types[last].IsNil() && types.Implements(f.TypesInfo.TypeOf(last), errorType)
	length := f.object(f.lhs(f.summary(f.fn).Length))
	hasLength := length != nil && f.mentionsObject(r, length)
	return !f.onError || isError && !hasLength && !f.isError(last)
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// isParsedAfter reports whether the function mentions the control buffer again. A program that receives in a loop may
// expect no descriptors with most messages.
func (f *flow) isParsedAfter(r ast.Node) bool {
	return found(f.home, func(n ast.Node) bool {
		e, ok := n.(*ast.Ident)
		return ok && e.Pos() > r.End() && f.tracker.carriers[f.object(e)]
	})
}

// rest reports the returns in a loop over the descriptors, which leak the rest of the list. If the loop uses the
// number of descriptors, it may return after the last one, so only a return of an error counts.
//
//	for _, fd := range fds {
//		if err := use(fd); err != nil { return err }
//	}
func (f *flow) rest(loop *ast.RangeStmt) {
	list := f.object(loop.X)
	if list == nil || !f.tracker.carriers[list] || f.value(loop.X) != descriptors || found(f.decl, f.isOne) || f.isOnlyOne() {
		return
	}
	inner := *f
	inner.onError = f.counts(loop.Body)
	inner.tracker.carriers = map[types.Object]bool{list: true}
	inner.loop(loop, loop.Body, open, dead, "")
}

// again reports the returns of an error in the next iteration of a loop, which leak the descriptors that a
// variable declared before the loop has from this one.
//
//	var all []int
//	for _, m := range messages {
//		fds, err := unix.ParseUnixRights(&m)
//		if err != nil { return err }
//		all = append(all, fds...)
//	}
func (f *flow) again(n ast.Stmt, body *ast.BlockStmt, loop *target) {
	inner := *f
	inner.round, inner.onError = n, true
	inner.tracker.carriers = map[types.Object]bool{}
	for obj := range f.tracker.carriers {
		if obj.Pos() < loop.start {
			inner.tracker.carriers[obj] = true
		}
	}
	if f.id != descriptors || !f.mentions(body, "unix.SCM_RIGHTS") {
		inner.errs = nil // a message of another type is an error to ParseUnixRights
	}
	inner.list(body.List, open)
}

// isLater reports whether a variable is not 0 in the iterations that again follows, because the loop only increases it.
func (f *flow) isLater(e ast.Expr) bool {
	if f.round == nil || f.object(e) == nil {
		return false
	}
	grows, isSet := false, false
	for n := range ast.Preorder(f.round) {
		if !f.changes(n, e, e) {
			continue
		}
		a, _ := n.(*ast.AssignStmt)
		i, _ := n.(*ast.IncDecStmt)
		if a != nil && a.Tok == token.ADD_ASSIGN || i != nil && i.Tok == token.INC {
			grows = true
		} else {
			isSet = isSet || isRound(f.round, n)
		}
	}
	return grows && !isSet
}

// isOne reports whether a node compares a count with 1.
func (f *flow) isOne(n ast.Node) bool {
	b, ok := n.(*ast.BinaryExpr)
	return ok && f.isExact(b) && (f.isInteger(b.X, 1) || f.isInteger(b.Y, 1))
}

// isResult reports whether a return without operands returns the descriptors.
func (f *flow) isResult() bool {
	for obj := range f.tracker.carriers {
		if isResultOf(f.call, obj) {
			return true
		}
	}
	return false
}

// decides reports whether a condition mentions a variable that decides whether the receive has a control buffer.
//
//	var oob []byte
//	if got == 0 { oob = space }
func (f *flow) decides(cond ast.Expr) bool {
	sets := func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		return ok && slices.ContainsFunc(a.Lhs, func(e ast.Expr) bool { return f.same(e, f.oob) })
	}
	isAsked := func(n ast.Node) bool {
		e, ok := n.(*ast.Ident)
		v, isVar := f.TypesInfo.Uses[e].(*types.Var)
		return ok && isVar && !f.same(e, f.oob) && f.mentionsObject(cond, v)
	}
	return found(f.home, func(n ast.Node) bool {
		i, ok := n.(*ast.IfStmt)
		return ok && i.End() < f.CallExpr.Pos() && found(i.Body, sets) && found(i.Cond, isAsked)
	})
}

// survives reports whether a variable declared before a loop has the descriptors.
func (f *flow) survives(loop *target) bool {
	if f.oob != nil {
		return false
	}
	for obj := range f.tracker.carriers {
		if obj.Pos() < loop.start {
			return true
		}
	}
	return false
}
