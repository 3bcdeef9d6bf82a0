package checks

import (
	"cmp"
	"go/ast"
	"go/types"
	"slices"
)

// An assignment copies a value, or one of the results of a call, to a variable or a field.
type assignment struct {
	to      types.Object
	from    ast.Expr
	result  int  // of the call
	isField bool // to a field of the variable
}

type call struct {
	*pass
	*ast.CallExpr
	decl    ast.Node        // the function around the call, or else the declaration
	body    *ast.BlockStmt  // the body of the function, or nil
	stack   []ast.Node      // the nodes around the call
	assign  *ast.AssignStmt // what assigns the results, or nil
	fn      types.Object    // the function
	id      string          // its id
	result  string
	oob     ast.Expr     // the control buffer, if the call is a receive
	carrier types.Object // the variable for the descriptors: the control buffer, or the first result
}

func (p *pass) visit(n ast.Node, stack []ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		p.functions = append(p.functions, n)
		p.addParams(n.Recv)
	case *ast.FuncType:
		p.addParams(n.Params)
	case *ast.RangeStmt:
		p.flow(n.Value, n.X, 0)
	case *ast.KeyValueExpr:
		if field, ok := p.object(n.Key).(*types.Var); ok && field.IsField() {
			p.flow(n.Key, n.Value, 0)
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if len(n.Values) > 0 {
				p.flow(name, n.Values[min(i, len(n.Values)-1)], i)
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			p.flow(left, n.Rhs[min(i, len(n.Rhs)-1)], i)
		}
		if t, ok := n.Rhs[0].(*ast.TypeAssertExpr); ok && p.object(n.Lhs[0]) != nil {
			p.aliases[p.object(n.Lhs[0])] = p.object(t.X)
		}
	case *ast.CallExpr:
		c := &call{pass: p, CallExpr: n, decl: stack[1], stack: slices.Clone(stack), fn: p.callee(n)}
		c.id = id(c.fn)
		if i := slices.IndexFunc(stack, isFunction); i >= 0 {
			c.decl, c.body = stack[i], bodyOf(stack[i])
		}
		c.assign, _ = stack[len(stack)-1].(*ast.AssignStmt)
		p.calls = append(p.calls, c)
		if fn, ok := c.fn.(*types.Func); ok && fn.Pkg() == p.Pkg {
			for i := range min(len(n.Args), fn.Signature().Params().Len()) {
				p.flows = append(p.flows, assignment{to: fn.Signature().Params().At(i), from: n.Args[i]})
			}
		}
	}
	return true
}

func (p *pass) addParams(list *ast.FieldList) {
	if list == nil {
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			p.params[p.TypesInfo.Defs[name]] = true
		}
	}
}

// flow notes that a value goes to a variable.
func (p *pass) flow(to, from ast.Expr, result int) {
	if obj := p.object(to); obj != nil {
		p.flows = append(p.flows, assignment{to: obj, from: from, result: result})
		if isBasic(obj.Type(), types.Int) {
			p.numbers[obj] = append(p.numbers[obj], ast.KeyValueExpr{Key: to, Value: from})
		}
	}
	if s, ok := to.(*ast.SelectorExpr); ok && p.object(s.X) != nil {
		p.flows = append(p.flows, assignment{to: p.object(s.X), from: from, result: result, isField: true})
	}
}

// describe finds what a call receives or returns.
func (n *call) describe() {
	s := n.summary(n.fn)
	n.result = n.value(n.CallExpr)
	if i := s.Buffer - 1; i >= 0 && i < len(n.Args) && (n.assign == nil || len(n.assign.Lhs) == s.Results) && !n.TypesInfo.Types[n.Args[i]].IsNil() {
		n.oob = n.operand(n.Args[i])
	}
	if n.assign != nil {
		n.carrier = n.object(cmp.Or(n.oob, n.assign.Lhs[0]))
	}
}
