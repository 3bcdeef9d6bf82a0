package checks

import (
	"go/ast"
	"go/types"
	"slices"
)

// controlBuffers reports control buffers that are parsed as a whole, unless a function uses a buffer for one descriptor
// once. Such a buffer is full, or it has only zeros, which are an error to the parser.
//
//	_, oobn, flags, _, err := unix.Recvmsg(sock, p, oob, 0)
//	messages, err := unix.ParseSocketControlMessage(oob) // not oob[:oobn]
func controlBuffers(p *pass) {
	for _, parse := range p.calls {
		r := p.whole(parse)
		if r == nil || p.isForOne(r) || found(r.decl, r.isFull) {
			continue
		}
		buffer, fix, length := p.buffer(parse, r), "", r.lhs(r.summary(r.fn).Length)
		n := "_"
		if length != nil {
			n = types.ExprString(length)
		}
		_, known := p.Pkg.Scope().Innermost(parse.Pos()).LookupParent(n, parse.Pos())
		if known != nil && known == p.object(length) {
			fix = types.ExprString(p.operand(buffer)) + "[:" + n + "]"
		}
		p.report(buffer, "the whole control buffer is parsed, although the receive may have filled only part of it", fix)
	}
}

// whole returns the receive into the control buffer that a call parses as a whole, or nil.
func (p *pass) whole(parse *call) *call {
	for _, r := range p.calls {
		if r.assign == nil || r.decl != parse.decl || r.Pos() > parse.Pos() || p.buffer(parse, r) == nil {
			continue
		}
		shortens := func(n ast.Node) bool { // oob = oob[:oobn]
			a, ok := n.(*ast.AssignStmt)
			return ok && r.End() < a.Pos() && a.End() < parse.Pos() && p.same(a.Lhs[0], r.oob)
		}
		if !found(r.decl, shortens) {
			return r
		}
	}
	return nil
}

// buffer returns the argument that is the whole buffer of a receive, if a call parses it, or nil. A function of the
// program may also get its length.
func (p *pass) buffer(parse, r *call) ast.Expr {
	s := parse.summary(parse.fn)
	if !s.Parses && !slices.Contains(s.Kinds, messages) || parse.id == descriptors {
		return nil
	}
	length := p.object(r.lhs(r.summary(r.fn).Length))
	for _, arg := range parse.Args {
		if length != nil && parse.id != messages && p.mentionsObject(arg, length) {
			return nil
		}
	}
	for _, arg := range parse.Args {
		if r.oob != nil && p.same(r.oob, p.operand(arg)) {
			return arg
		}
	}
	return nil
}

// isForOne reports whether a receive is in no loop, and its function makes a buffer for one descriptor.
func (p *pass) isForOne(r *call) bool {
	for _, outer := range r.stack {
		switch outer.(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			return false
		}
	}
	return p.makes(r, "unix.CmsgSpace") || p.makes(r, "unix.CmsgLen")
}

// makes reports whether the function around a call makes a buffer of the size that another function returns for one
// descriptor. The kernel puts two into CmsgSpace(4) bytes, but only one into CmsgLen(4).
func (p *pass) makes(r *call, size string) bool {
	isFour := func(e ast.Expr) bool {
		return p.isInteger(e, 4) || slices.ContainsFunc(p.flows, func(a assignment) bool { return a.to == p.object(e) && p.isInteger(a.from, 4) })
	}
	return slices.ContainsFunc(p.calls, func(n *call) bool { return n.decl == r.decl && n.id == size && isFour(n.Args[0]) })
}
