package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// flags reports receives whose flags are discarded. A function that compares the count of descriptors with a number detects
// a truncation without them.
func flags(p *pass) {
	for _, r := range p.receives {
		if !p.rights || r.assign == nil || p.object(r.assign.Lhs[2]) != nil {
			continue
		}
		exact := found(r.decl, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			return ok && (b.Op == token.EQL || b.Op == token.NEQ) && types.ExprString(b.Y) != "0" &&
				(p.value(p.counted(b.X)) == descriptors || p.value(p.counted(b.Y)) == descriptors)
		})
		if !exact {
			p.report(r, "nothing reads the flags of this receive, so the loss of descriptors (MSG_CTRUNC) goes unnoticed", "")
		}
	}
}

// controlBuffers reports control buffers that are parsed as a whole.
func controlBuffers(p *pass) {
	for _, parse := range p.calls {
		r := p.whole(parse)
		if r == nil {
			continue
		}
		buffer, fix := parse.Args[0], ""
		if n := p.object(r.assign.Lhs[1]); n != nil {
			if _, visible := p.Pkg.Scope().Innermost(parse.Pos()).LookupParent(n.Name(), parse.Pos()); visible == n {
				fix = types.ExprString(p.operand(buffer)) + "[:" + n.Name() + "]"
			}
		}
		p.report(buffer, "the whole control buffer is parsed, although the receive may have filled only part of it", fix)
	}
}

// whole returns the receive into the control buffer that a call parses as a whole, or nil.
func (c *parts) whole(parse *call) *call {
	for _, r := range c.receives {
		if parse.id == "unix.ParseSocketControlMessage" && r.decl == parse.decl && r.Pos() < parse.Pos() && r.assign != nil &&
			c.same(r.oob, c.operand(parse.Args[0])) && !found(r.decl, func(n ast.Node) bool {
			a, ok := n.(*ast.AssignStmt) // oob = oob[:oobn]
			return ok && r.End() < a.Pos() && a.End() < parse.Pos() && c.same(a.Lhs[0], r.oob)
		}) {
			return r
		}
	}
	return nil
}

// receiveFlags reports receives without MSG_CMSG_CLOEXEC, on systems that have it. Package net always passes it.
func receiveFlags(p *pass) {
	for _, r := range p.receives {
		if !p.rights || !strings.HasPrefix(r.id, "unix.") || p.mentions(r.decl, isForkLock) {
			continue
		}
		arg, callee := r.Args[3], p.object(r.Fun)
		flag, _ := callee.Pkg().Scope().Lookup("MSG_CMSG_CLOEXEC").(*types.Const)
		passed := p.info.Types[arg].Value
		if flag == nil || passed == nil || constant.Sign(constant.BinaryOp(passed, token.AND, flag.Val())) != 0 {
			continue
		}
		fix := strings.TrimSuffix(types.ExprString(r.Fun), callee.Name()) + flag.Name()
		if types.ExprString(arg) != "0" {
			fix = types.ExprString(arg) + "|" + fix
		}
		p.report(arg, "without MSG_CMSG_CLOEXEC, a child process started at this moment inherits the received descriptors", fix)
	}
}

func isForkLock(obj types.Object) bool { return id(obj) == "unix.ForkLock" }

// duplicates reports calls with F_DUPFD.
func duplicates(p *pass) {
	for _, n := range p.calls {
		for _, arg := range n.Args {
			if s, ok := p.operand(arg).(*ast.SelectorExpr); ok && id(p.object(s)) == "unix.F_DUPFD" && !p.mentions(n.decl, isForkLock) {
				p.report(s.Sel, "without F_DUPFD_CLOEXEC, a child process started at this moment inherits the duplicate", "F_DUPFD_CLOEXEC")
			}
		}
	}
}

// counts reports the first use of fds[0] if nothing before it looks at the count.
func counts(p *pass) {
	for _, from := range p.calls {
		value := p.value(from.CallExpr)
		if from.assign == nil || value != messages && value != descriptors {
			continue
		}
		list := p.object(from.assign.Lhs[0])
		// Without control data, it is an error to parse the whole buffer.
		checked := list == nil || p.whole(from) != nil
		ast.Inspect(from.decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				checked = checked || n.Pos() > from.End() && slices.ContainsFunc(n.Args, func(arg ast.Expr) bool { return p.object(arg) == list })
			case *ast.RangeStmt:
				checked = checked || p.object(n.X) == list
			case *ast.BinaryExpr: // oobn == 0
				checked = checked || value == messages && p.value(n.X) == length
			case *ast.IndexExpr:
				if checked || p.object(n.X) != list || p.info.Types[n.Index].Value == nil {
					break
				}
				checked = true
				message := "nothing checks len(" + list.Name() + "), so any other descriptors in the message stay open"
				if value == messages {
					message = list.Name() + "[0] panics if a message has no control data, because nothing checks len(" + list.Name() + ")"
				}
				p.report(n, message, "")
			}
			return true
		})
	}
}
