package checks

import (
	"go/ast"
	"go/types"
)

// value returns what an expression holds, or holds one of.
func (p *pass) value(e ast.Expr) string { return p.part(p.holds, e, 0) }

// part returns what one of the values of an expression is, if the variables in it are known.
func (p *pass) part(of map[types.Object]string, e ast.Expr, result int) string {
	e = p.operand(e)
	if inner := base(e); inner != e {
		return p.part(of, inner, 0)
	}
	switch e := e.(type) {
	case *ast.CompositeLit:
		for _, elem := range e.Elts {
			if kv, ok := elem.(*ast.KeyValueExpr); ok {
				elem = kv.Value
			}
			if v := p.part(of, elem, 0); v != "" && canHold(p.TypesInfo.TypeOf(elem)) {
				return v
			}
		}
	case *ast.CallExpr:
		fn := p.callee(e)
		if kinds := p.summary(fn).Kinds; result < len(kinds) {
			return kinds[result]
		}
		if id(fn) == "append" {
			for _, arg := range e.Args {
				if v := p.part(of, arg, 0); v != "" {
					return v
				}
			}
		}
	case *ast.Ident, *ast.SelectorExpr:
		return of[p.object(e)]
	}
	return ""
}
