package checks

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// isInternet reports whether the function around a call receives from an Internet socket, which carries no descriptors.
func (n *call) isInternet() bool {
	return n.mentions(n.decl, "net.ReadMsgUDP") || n.mentions(n.decl, "net.ReadMsgIP")
}

// findPassed finds control data that functions send, or leave to their callers. Others have the descriptors then, and
// the functions parse it only to look at it.
func (p *pass) findPassed() {
	for _, n := range p.calls {
		if name := strings.ToLower(name(n.fn)); strings.HasPrefix(name, "send") || strings.HasPrefix(name, "write") {
			p.pass(n.Args...)
		}
	}
	for _, decl := range p.functions {
		fn, ok := p.TypesInfo.Defs[decl.Name].(*types.Func)
		if !ok || decl.Body == nil {
			continue
		}
		for _, r := range returns(decl.Body) {
			p.pass(r.Results...)
		}
		if s := p.summary(fn); s.Buffer > 0 && s.Length > 0 && !slices.Contains(s.Kinds, descriptors) {
			p.passed[fn.Signature().Params().At(s.Buffer-1)] = true
		}
	}
	for range 5 {
		for _, a := range p.flows {
			n, isCall := ast.Unparen(a.from).(*ast.CallExpr)
			isParsed := isCall && p.part(p.holds, n, a.result) != "" && slices.ContainsFunc(n.Args, p.isPassedOn)
			p.passed[a.to] = p.passed[a.to] || !a.isField && (isParsed || p.isPassedOn(a.from))
		}
	}
}

func (p *pass) pass(list ...ast.Expr) {
	for _, e := range list {
		if obj := p.object(base(e)); obj != nil && isControl(obj.Type()) {
			p.passed[obj] = true
		}
	}
}

func (p *pass) isPassedOn(e ast.Expr) bool { return p.passed[p.object(base(e))] }

// base returns the v of &v[i], *v and v[:n].
func base(e ast.Expr) ast.Expr {
	switch n := ast.Unparen(e).(type) {
	case *ast.UnaryExpr:
		return base(n.X)
	case *ast.StarExpr:
		return base(n.X)
	case *ast.IndexExpr:
		return base(n.X)
	case *ast.SliceExpr:
		return base(n.X)
	}
	return e
}
