package checks

import (
	"go/ast"
	"go/types"
)

// summaryOf returns what the body of a function does, as far as its callees are known.
func (p *pass) summaryOf(fn types.Object, decl *ast.FuncDecl) *summary {
	sig, ok := fn.(*types.Func)
	if !ok || decl.Body == nil {
		return &summary{}
	}
	params, results := sig.Signature().Params(), sig.Signature().Results()
	s := &summary{Results: results.Len(), Exact: found(decl.Body, p.isExact)}
	for _, n := range p.calls {
		if n.decl != decl {
			continue
		}
		s.Needs = s.Needs || n.needs()
		s.Exact = s.Exact || n.fn != fn && n.summary(n.fn).Parses && n.summary(n.fn).Exact
		for i := range params.Len() {
			if n.oob != nil && n.object(n.oob) == params.At(i) {
				p.receives(s, n, i, decl)
			}
			v := p.holds[params.At(i)]
			s.Parses = s.Parses || n.summary(n.fn).Parses && (v != "" && v != descriptors || isControl(params.At(i).Type()))
		}
	}
	kinds := make([]string, results.Len())
	for _, r := range returns(decl.Body) {
		for i := range kinds {
			v := ""
			switch len(r.Results) {
			case 0:
				v = p.owns[results.At(i)]
			case 1:
				v = p.part(p.owns, r.Results[0], i)
			case len(kinds):
				v = p.part(p.owns, r.Results[i], 0)
			}
			if i < len(r.Results) && p.isStored(decl, p.object(r.Results[i])) {
				v = "" // others have it too
			}
			if v != "" && kinds[i] == "" && canHold(results.At(i).Type()) {
				kinds[i], s.Kinds = v, kinds
			}
		}
	}
	for i := range params.Len() {
		if param := params.At(i); canBorrow(param.Type()) && param.Name() != "" && p.borrows(decl, param) {
			if s.Borrows == nil {
				s.Borrows = make([]bool, params.Len())
			}
			s.Borrows[i] = true
		}
	}
	return s
}

// isStored reports whether a function also stores a variable in a field, a map or a list.
func (p *pass) isStored(decl *ast.FuncDecl, obj types.Object) bool {
	return obj != nil && found(decl, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return false
		}
		for i, right := range a.Rhs {
			if _, isVar := a.Lhs[i].(*ast.Ident); !isVar && p.object(p.operand(right)) == obj {
				return true
			}
		}
		return false
	})
}

// receives notes that a function receives into a parameter, and which results have the length and the flags.
func (p *pass) receives(s *summary, n *call, param int, decl *ast.FuncDecl) {
	s.Buffer = param + 1
	from := n.summary(n.fn)
	if n.assign == nil {
		if _, ok := n.stack[len(n.stack)-1].(*ast.ReturnStmt); ok {
			s.Length, s.Flags = from.Length, from.Flags
		}
		return
	}
	s.Length, s.Flags = p.resultOf(decl, n.lhs(from.Length)), p.resultOf(decl, n.lhs(from.Flags))
	if flags, ok := n.lhs(from.Flags).(*ast.Ident); from.Flags < 0 || s.Flags == 0 && (!ok || flags.Name != "_") && from.Flags > 0 {
		s.Flags = -1
	}
}

// lhs returns what a call assigns a result to, or nil. Results are counted from 1.
func (n *call) lhs(result int) ast.Expr {
	if n.assign == nil || result < 1 || result > len(n.assign.Lhs) {
		return nil
	}
	return n.assign.Lhs[result-1]
}

// resultOf returns the result, counted from 1, that a variable becomes, or 0.
func (p *pass) resultOf(decl *ast.FuncDecl, e ast.Expr) int {
	obj := p.object(e)
	if obj == nil || obj.Name() == "_" {
		return 0
	}
	results := p.TypesInfo.Defs[decl.Name].(*types.Func).Signature().Results()
	for _, r := range returns(decl.Body) {
		for i := range results.Len() {
			if len(r.Results) == 0 && results.At(i) == obj || len(r.Results) == results.Len() && p.object(p.operand(r.Results[i])) == obj {
				return i + 1
			}
		}
	}
	return 0
}

// returns returns the return statements of a function, without those of the function literals in it.
func returns(body *ast.BlockStmt) (list []*ast.ReturnStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok {
			list = append(list, r)
		}
		_, isLit := n.(*ast.FuncLit)
		return !isLit
	})
	return list
}

// isControl reports whether a type is that of control data or of the messages in it.
func isControl(t types.Type) bool {
	if isSlice(t) && isBasic(elem(t), types.Uint8) {
		return true
	}
	if p, ok := elem(t).Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(elem(t)).(*types.Named)
	return ok && id(n.Obj()) == "unix.SocketControlMessage"
}

// canBorrow reports whether a parameter may be a descriptor or a list of them.
func canBorrow(t types.Type) bool {
	return isBasic(t, types.Uintptr) || isBasic(elem(t), types.Int) || isAnys(t)
}

// isAnys reports whether a type is []any.
func isAnys(t types.Type) bool {
	e, ok := elem(t).Underlying().(*types.Interface)
	return ok && isSlice(t) && e.Empty()
}

// elem returns the type of the elements of a slice, or any other type itself.
func elem(t types.Type) types.Type {
	if s, ok := t.Underlying().(*types.Slice); ok {
		return s.Elem()
	}
	return t
}

func isSlice(t types.Type) bool { return elem(t) != t }

func isBasic(t types.Type, kind types.BasicKind) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == kind
}
