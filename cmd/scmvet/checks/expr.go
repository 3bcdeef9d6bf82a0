package checks

import (
	"cmp"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// preorder visits a node and its descendants, with the nodes around each, until visit returns false.
func preorder(root ast.Node, stack []ast.Node, visit func(n ast.Node, stack []ast.Node) bool) {
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return false
		}
		if !visit(n, stack) {
			return false
		}
		stack = append(stack, n)
		return true
	})
}

// contains reports whether a node is in another one.
func contains(outer, n ast.Node) bool { return outer.Pos() <= n.Pos() && n.End() <= outer.End() }

// found reports whether a node has a descendant that meets a condition.
func found(n ast.Node, is func(ast.Node) bool) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		yes = yes || n != nil && is(n)
		return !yes
	})
	return yes
}

func isFunction(n ast.Node) bool { return bodyOf(n) != nil }

// bodyOf returns the body of a function with or without a name, or nil.
func bodyOf(n ast.Node) *ast.BlockStmt {
	switch n := n.(type) {
	case *ast.FuncDecl:
		return n.Body
	case *ast.FuncLit:
		return n.Body
	}
	return nil
}

// object returns the variable or field that an expression denotes, or nil.
func (p *pass) object(e ast.Expr) (obj types.Object) {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		obj = p.TypesInfo.ObjectOf(e)
	case *ast.SelectorExpr:
		obj = p.TypesInfo.ObjectOf(e.Sel)
	}
	return cmp.Or(p.aliases[obj], obj)
}

func (p *pass) same(a, b ast.Expr) bool { return p.object(a) != nil && p.object(a) == p.object(b) }

// mentions reports whether a node mentions a function, a variable or a constant.
func (p *pass) mentions(n ast.Node, name string) bool {
	return found(n, func(n ast.Node) bool {
		e, ok := n.(*ast.Ident)
		return ok && id(p.TypesInfo.Uses[e]) == name
	})
}

// counted returns the list if an expression is the length of one, or nil. The expression may also be a variable, or a
// field of the same struct, if the last assignment above it is such a length.
func (p *pass) counted(e ast.Expr) ast.Expr {
	e = ast.Unparen(e)
	if n, ok := e.(*ast.CallExpr); ok && id(p.callee(n)) == "len" {
		return n.Args[0]
	}
	for _, n := range slices.Backward(p.numbers[p.object(e)]) {
		if n.Value.End() >= e.Pos() {
			continue
		}
		if field, ok := n.Key.(*ast.SelectorExpr); ok && types.ExprString(field) != types.ExprString(e) {
			return nil
		}
		return p.counted(n.Value)
	}
	return nil
}

// operand returns the operand of e[:], of type assertions, and of conversions such as uintptr(fd).
func (p *pass) operand(e ast.Expr) ast.Expr {
	switch n := ast.Unparen(e).(type) {
	case *ast.SliceExpr:
		if n.Low == nil && n.High == nil {
			return p.operand(n.X)
		}
	case *ast.TypeAssertExpr:
		return p.operand(n.X)
	case *ast.CallExpr:
		if len(n.Args) == 1 && p.TypesInfo.Types[n.Fun].IsType() {
			return p.operand(n.Args[0])
		}
	}
	return ast.Unparen(e)
}

// line returns the file and the line of a position.
func (p *pass) line(pos token.Pos) token.Position {
	at := p.Fset.Position(pos)
	return token.Position{Filename: at.Filename, Line: at.Line}
}

// callee returns the function that a call calls. It returns nil if the call has fewer or more arguments than the
// function has parameters. Such a call is a type error, passes the results of another call, f(g()), or has the receiver
// as an argument.
func (p *pass) callee(n *ast.CallExpr) types.Object {
	fn := typeutil.Callee(p.TypesInfo, n)
	least := 0
	switch fn := fn.(type) {
	case *types.Func:
		s := fn.Signature()
		if least = s.Params().Len(); s.Variadic() {
			least--
		} else if len(n.Args) > least {
			return nil
		}
	case *types.Builtin:
		least = map[string]int{"len": 1, "append": 2}[fn.Name()]
	}
	if len(n.Args) < least {
		return nil
	}
	return fn
}

// integer returns the value of an integer constant, or nil.
func (p *pass) integer(e ast.Expr) constant.Value {
	if v := p.TypesInfo.Types[e].Value; v != nil && v.Kind() == constant.Int {
		return v
	}
	return nil
}

// isInteger reports whether an expression is an integer constant with a value.
func (p *pass) isInteger(e ast.Expr, value int64) bool {
	v := p.integer(e)
	return v != nil && constant.Compare(v, token.EQL, constant.MakeInt64(value))
}

// name returns the name of a function, or the empty string.
func name(fn types.Object) string {
	if fn == nil {
		return ""
	}
	return fn.Name()
}

// id returns the package and the name of a function, a method or a constant. It is the same for packages unix and
// syscall.
func id(obj types.Object) string {
	switch {
	case obj == nil:
		return ""
	case obj.Pkg() == nil:
		return obj.Name()
	case obj.Pkg().Path() == "syscall" || strings.HasSuffix(obj.Pkg().Path(), "golang.org/x/sys/unix"):
		return "unix." + obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}
