package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// flags reports receives whose flags are discarded. A function that compares the count with a number detects a truncation anyway.
func flags(p *pass) {
	for _, r := range p.calls {
		if r.oob == nil || r.assign == nil || types.ExprString(r.assign.Lhs[2]) != "_" || !p.mentions(r.decl, descriptors) {
			continue
		}
		isCount := func(e ast.Expr) bool { return p.value(p.counted(e)) == descriptors }
		isExact := func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			return ok && (b.Op == token.EQL || b.Op == token.NEQ) && (isCount(b.Y) || isCount(b.X) && types.ExprString(b.Y) != "0")
		}
		if !found(r.decl, isExact) {
			p.report(r, "nothing reads the flags of this receive, so the loss of descriptors (MSG_CTRUNC) goes unnoticed", "")
		}
	}
}

// controlBuffers reports control buffers that are parsed as a whole, unless a function uses a buffer for one descriptor once.
// Such a buffer is full, or it has only zeros, which are an error to the parser.
func controlBuffers(p *pass) {
	for _, parse := range p.calls {
		r := p.whole(parse)
		if r == nil || p.isForOne(r) {
			continue
		}
		buffer, fix := parse.Args[0], ""
		n := types.ExprString(r.assign.Lhs[1])
		_, known := p.Pkg.Scope().Innermost(parse.Pos()).LookupParent(n, parse.Pos())
		if known != nil && known == p.object(r.assign.Lhs[1]) {
			fix = types.ExprString(p.operand(buffer)) + "[:" + n + "]"
		}
		p.report(buffer, "the whole control buffer is parsed, although the receive may have filled only part of it", fix)
	}
}

// whole returns the receive into the control buffer that a call parses as a whole, or nil.
func (p *pass) whole(parse *call) *call {
	for _, r := range p.calls {
		if parse.id != messages || r.decl != parse.decl || r.Pos() > parse.Pos() || !p.same(r.oob, p.operand(parse.Args[0])) {
			continue
		}
		shortens := func(n ast.Node) bool { // oob = oob[:oobn]
			a, ok := n.(*ast.AssignStmt)
			return ok && r.End() < a.Pos() && a.End() < parse.Pos() && p.same(a.Lhs[0], r.oob)
		}
		if r.assign != nil && !found(r.decl, shortens) {
			return r
		}
	}
	return nil
}

// isForOne reports whether a receive is in no loop, and its function makes a buffer of CmsgSpace(4) bytes.
func (p *pass) isForOne(r *call) bool {
	for _, outer := range r.stack {
		switch outer.(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			return false
		}
	}
	return slices.ContainsFunc(p.calls, func(n *call) bool {
		return n.decl == r.decl && n.id == "unix.CmsgSpace" && types.ExprString(n.Args[0]) == "4"
	})
}

// receiveFlags reports receives without MSG_CMSG_CLOEXEC, on systems that have it. Package net always passes it.
func receiveFlags(p *pass) {
	for _, r := range p.calls {
		if !p.rights || r.oob == nil || !strings.HasPrefix(r.id, "unix.") || p.mentions(r.decl, "unix.ForkLock") {
			continue
		}
		arg := r.Args[3]
		flag, _ := r.fn.Pkg().Scope().Lookup("MSG_CMSG_CLOEXEC").(*types.Const)
		passed := p.integer(arg)
		if flag == nil || passed == nil || constant.Sign(constant.BinaryOp(passed, token.AND, flag.Val())) != 0 {
			continue
		}
		fix := strings.TrimSuffix(types.ExprString(r.Fun), r.fn.Name()) + flag.Name()
		if types.ExprString(arg) != "0" {
			fix = types.ExprString(arg) + "|" + fix
		}
		p.report(arg, "without MSG_CMSG_CLOEXEC, a child process started at this moment inherits the received descriptors", fix)
	}
}

// duplicates reports calls with F_DUPFD.
func duplicates(p *pass) {
	for _, n := range p.calls {
		for _, arg := range n.Args {
			if s, ok := arg.(*ast.SelectorExpr); ok && id(p.object(s)) == "unix.F_DUPFD" && !p.mentions(n.decl, "unix.ForkLock") {
				p.report(s.Sel, "without F_DUPFD_CLOEXEC, a child process started at this moment inherits the duplicate", "F_DUPFD_CLOEXEC")
			}
		}
	}
}

// counts reports the first use of fds[0] or messages[0] if nothing before it looks at the count.
func counts(p *pass) {
	for _, from := range p.calls {
		// Without control data, it is an error to parse the whole buffer.
		if from.carrier == nil || from.result == "" || p.whole(from) != nil {
			continue
		}
		isList := func(e ast.Expr) bool { return p.object(e) == from.carrier }
		found(from.decl, func(n ast.Node) (done bool) {
			switch n := n.(type) {
			case *ast.CallExpr:
				return n.Pos() > from.End() && slices.ContainsFunc(n.Args, isList)
			case *ast.RangeStmt:
				return isList(n.X)
			case *ast.IndexExpr:
				if done = isList(n.X) && p.TypesInfo.Types[n.Index].Value != nil; done {
					p.report(n, "nothing checks len("+from.carrier.Name()+"), which may be 0, or more than the program uses and closes", "")
				}
			}
			return done
		})
	}
}
