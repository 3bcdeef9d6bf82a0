package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// counts reports the first use of fds[0] or messages[0] if nothing checks the count. A buffer for one descriptor often
// has room for two, so a check that there is at least one descriptor is not enough.
//
//	fds, err := unix.ParseUnixRights(&messages[0])
//	return fds[0], err
func counts(p *pass) {
	reported := map[token.Pos]bool{}
	for _, from := range p.calls {
		// Without control data, it is an error to parse the whole buffer.
		if !p.rights || from.assign == nil || p.whole(from) != nil || from.id != descriptors && from.summary(from.fn).Exact || from.isInternet() {
			continue
		}
		for i, left := range from.assign.Lhs {
			kinds := from.summary(from.fn).Kinds
			list, ok := p.object(left).(*types.Var)
			if i >= len(kinds) || kinds[i] == "" || kinds[i] == control || !ok || !isSlice(list.Type()) {
				continue
			}
			if first := p.firstUse(from, list, kinds[i]); first != nil && !reported[first.Pos()] {
				reported[first.Pos()] = true
				p.report(first, "nothing checks len("+list.Name()+"), which may be 0, or more than the program uses and closes", "")
			}
		}
	}
}

// firstUse returns the first use of list[0] after a call, unless something checks the count.
func (p *pass) firstUse(from *call, list types.Object, kind string) (first ast.Node) {
	isList := func(e ast.Expr) bool { return p.object(e) == list }
	isChecked := found(from.decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			return p.checksCount(n, isList, kind == messages || p.makes(from, "unix.CmsgLen"))
		case *ast.IndexExpr:
			if isList(n.X) && n.Pos() > from.End() && first == nil {
				first = n
			}
		}
		return p.usesWhole(n, from, isList)
	})
	if isChecked {
		return nil
	}
	return first
}

// usesWhole reports whether a node uses a list of descriptors from a call, or an element other than the first.
func (p *pass) usesWhole(n ast.Node, from *call, isList func(ast.Expr) bool) bool {
	isCount := func(e ast.Expr) bool { list := p.counted(e); return list != nil && isList(list) }
	if n.End() < from.Pos() {
		return false
	}
	switch n := n.(type) {
	case *ast.CallExpr:
		return n.Pos() > from.End() && slices.ContainsFunc(n.Args, isList) && p.counted(n) == nil
	case *ast.RangeStmt:
		return isList(n.X) || isCount(n.X)
	case *ast.SliceExpr:
		return isList(n.X)
	case *ast.ReturnStmt:
		return slices.ContainsFunc(n.Results, isList)
	case *ast.AssignStmt:
		return n != from.assign && slices.ContainsFunc(n.Rhs, isList)
	case *ast.SwitchStmt:
		return n.Tag != nil && isCount(n.Tag)
	case *ast.KeyValueExpr:
		return isList(n.Value)
	case *ast.IndexExpr:
		return isList(n.X) && !p.isInteger(n.Index, 0)
	}
	return false
}

// checksCount reports whether a comparison is a check of the count. All descriptors are in one message, so for messages
// it is enough that there is one, as it is for descriptors from a buffer that takes only one.
func (p *pass) checksCount(n *ast.BinaryExpr, isList func(ast.Expr) bool, isOne bool) bool {
	x, y, op := n.X, n.Y, n.Op
	if list := p.counted(y); list != nil && isList(list) {
		x, y, op = y, x, mirrored[op]
	}
	list := p.counted(x)
	if list == nil || !isList(list) {
		return false
	}
	want := p.integer(y)
	if isOne || want == nil {
		return true
	}
	// The comparison must differ between one descriptor and two.
	return isComparison(op) && compare(1, op, want) != compare(2, op, want)
}
