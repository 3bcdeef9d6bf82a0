package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// flags reports receives whose flags nothing reads, if the program takes the descriptors from the control data, unless
// it turns their loss into an error anyway or only closes them.
//
//	n, oobn, _, _, err := unix.Recvmsg(sock, p, oob, unix.MSG_CMSG_CLOEXEC)
//	fds, err := unix.ParseUnixRights(&messages[0])
func flags(p *pass) {
	for _, r := range p.calls {
		if r.oob == nil || !r.dropsFlags() {
			continue
		}
		related := p.related(r)
		parses := func(n *call) bool { return slices.Contains(related, n.decl) && n.needs() }
		exact := func(n *call) bool { return slices.Contains(related, n.decl) && n.summary(n.fn).Exact }
		isExact := func(n ast.Node) bool {
			return found(n, p.isExact) || found(n, r.isFull) || p.needsFirst(n) || p.parsesZeros(r, n)
		}
		if slices.ContainsFunc(p.calls, parses) && !slices.ContainsFunc(p.calls, exact) && !slices.ContainsFunc(related, isExact) {
			p.report(r, "nothing reads the flags of this receive, so the loss of descriptors (MSG_CTRUNC) goes unnoticed", "")
		}
	}
}

// dropsFlags reports whether a receive has flags that nothing reads. A wrapper in the package is reported where it
// receives.
func (n *call) dropsFlags() bool {
	s := n.summary(n.fn)
	if s.Flags == 0 {
		return n.summaries[n.fn] == nil
	}
	to := n.lhs(s.Flags)
	return to != nil && types.ExprString(to) == "_"
}

// related returns the function of a receive and, if the control buffer is not its own or is returned, the functions of
// the package that call it or use the buffer, and their callers.
func (p *pass) related(r *call) []ast.Node {
	list := []ast.Node{r.decl}
	add := func(obj types.Object) {
		for _, decl := range p.functions {
			if v, ok := obj.(*types.Var); ok && v.IsField() && p.mentionsObject(decl, v) && !slices.Contains(list, ast.Node(decl)) {
				list = append(list, decl)
			}
		}
	}
	add(r.carrier)
	for _, a := range p.flows { // a queue of messages
		if p.holds[a.to] == messages && r.decl.Pos() < a.from.Pos() && a.from.End() < r.decl.End() {
			add(a.to)
		}
	}
	for i := 0; i < len(list); i++ {
		decl, ok := list[i].(*ast.FuncDecl)
		if !ok || i > 10 {
			continue
		}
		fn := p.TypesInfo.Defs[decl.Name]
		s := p.summaries[fn]
		if s == nil || s.Buffer == 0 && !slices.ContainsFunc(s.Kinds, func(kind string) bool { return kind != "" }) {
			continue
		}
		for _, n := range p.calls {
			if n.fn == fn && !slices.Contains(list, n.decl) {
				list = append(list, n.decl)
			}
		}
	}
	return list
}

func (p *pass) mentionsObject(n ast.Node, obj types.Object) bool {
	return found(n, func(n ast.Node) bool { e, ok := n.(*ast.Ident); return ok && p.TypesInfo.Uses[e] == obj })
}

// isExact reports whether a node compares the count of descriptors with a number. Only a comparison with 0 is of no
// use.
//
//	if len(fds) != 1
//	switch len(fds)
//	if fd == -1 { return errNone }
func (p *pass) isExact(n ast.Node) bool {
	isCount := func(e ast.Expr) bool {
		list := p.counted(e)
		return list != nil && p.value(list) == descriptors
	}
	switch n := n.(type) {
	case *ast.BinaryExpr:
		x, y, op := n.X, n.Y, n.Op
		if isCount(y) {
			x, y, op = y, x, mirrored[op]
		}
		if !isCount(x) || !isComparison(op) {
			return false
		}
		if want := p.integer(y); want != nil {
			isZeroCheck := compare(0, op, want) != compare(1, op, want) && compare(1, op, want) == compare(2, op, want)
			return !isZeroCheck
		}
		return op != token.GTR && op != token.GEQ // i < len(fds) is a loop
	case *ast.IfStmt:
		// A variable of the program is not -1 if a descriptor was received.
		b, ok := n.Cond.(*ast.BinaryExpr)
		isInvalid := ok && p.value(b.X) == descriptors && (b.Op == token.EQL && p.isInteger(b.Y, -1) || b.Op == token.LSS && p.isInteger(b.Y, 0))
		return isInvalid && found(n.Body, func(n ast.Node) bool { _, ok := n.(*ast.ReturnStmt); return ok })
	case *ast.SwitchStmt:
		return n.Tag != nil && isCount(n.Tag)
	}
	return false
}

// needsFirst reports whether a function checks that there is a descriptor, uses the first, and at most closes the
// others.
//
//	if len(fds) == 0 { return errNone }
//	for _, fd := range fds[1:] { unix.Close(fd) }
//	use(fds[0])
func (p *pass) needsFirst(decl ast.Node) bool {
	return slices.ContainsFunc(p.calls, func(n *call) bool {
		if n.decl != decl || n.assign == nil || n.id != descriptors || n.carrier == nil {
			return false
		}
		isList := func(e ast.Expr) bool { return p.object(e) == n.carrier }
		isChecked, usesFirst, usesOthers := false, false, false
		preorder(decl, nil, func(m ast.Node, _ []ast.Node) bool {
			if p.onlyCloses(m, isList) {
				return false
			}
			switch m := m.(type) {
			case *ast.BinaryExpr:
				isChecked = isChecked || p.counted(m.X) != nil && isList(p.counted(m.X)) && (p.isInteger(m.Y, 0) || p.isInteger(m.Y, 1))
			case *ast.IndexExpr:
				usesFirst = usesFirst || isList(m.X) && p.isInteger(m.Index, 0)
			}
			usesOthers = usesOthers || p.usesWhole(m, n, isList)
			return true
		})
		return isChecked && usesFirst && !usesOthers
	})
}

// onlyCloses reports whether a node is a call that closes descriptors of a list, or a loop over a list that has no
// other use.
func (p *pass) onlyCloses(n ast.Node, isList func(ast.Expr) bool) bool {
	isClose := func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		return ok && strings.Contains(strings.ToLower(name(p.callee(c))), "close")
	}
	if c, ok := n.(*ast.CallExpr); ok {
		return isClose(c) && slices.ContainsFunc(c.Args, func(e ast.Expr) bool { return isList(base(e)) })
	}
	loop, ok := n.(*ast.RangeStmt)
	if !ok || !isList(base(loop.X)) {
		return false
	}
	isUsed := false
	preorder(loop.Body, nil, func(m ast.Node, _ []ast.Node) bool {
		e, ok := m.(*ast.Ident)
		isUsed = isUsed || ok && (p.same(e, loop.Value) || loop.Value == nil && isList(e))
		return !isClose(m)
	})
	return !isUsed && (loop.Value != nil || found(loop.Body, func(m ast.Node) bool { return p.onlyCloses(m, isList) }))
}

// needs reports whether a call takes descriptors from control data, and the function around it does not just close
// them. A program that only closes what it receives needs none that are lost.
func (n *call) needs() bool {
	s, v := n.summary(n.fn), n.carrier
	if !s.Parses || n.result != descriptors || v == nil || v.Pos() < n.body.Pos() || v.Pos() > n.body.End() {
		return s.Parses && s.Needs
	}
	isClosed, isUsed := false, false
	ast.Inspect(n.body, func(m ast.Node) bool {
		e, _ := m.(ast.Expr)
		name, _ := m.(*ast.Ident)
		closes := n.onlyCloses(m, func(e ast.Expr) bool { return n.object(e) == v })
		isClosed, isUsed = isClosed || closes, isUsed || n.TypesInfo.Uses[name] == v
		return !closes && m != n.assign && n.counted(e) == nil
	})
	return isUsed || !isClosed
}

// parsesZeros reports whether a function parses the whole of a buffer that takes only one descriptor, which is an error
// if it has no descriptor. With CmsgSpace(4), which takes two, the loss of a third is no error.
//
//	oob := make([]byte, unix.CmsgLen(4))
//	_, _, _, _, err := unix.Recvmsg(sock, p, oob, 0)
//	messages, err := unix.ParseSocketControlMessage(oob)
func (p *pass) parsesZeros(r *call, decl ast.Node) bool {
	isWhole := func(n *call) bool { return n.decl == decl && p.whole(n) == r }
	return p.isForOne(r) && p.makes(r, "unix.CmsgLen") && slices.ContainsFunc(p.calls, isWhole)
}
