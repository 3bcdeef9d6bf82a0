package checks

import (
	"cmp"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// A pass is a run of one analyzer on one package.
type pass struct {
	*analysis.Pass
	rights   bool // the package may receive descriptors
	calls    []*call
	accepted map[token.Position]bool       // the lines with findings that notes accept
	holds    map[types.Object]string       // what variables and fields hold
	aliases  map[types.Object]types.Object // the x of v, ok := x.(T)
}

// Values of holds: the function that returns what a variable or field holds.
const (
	messages    = "unix.ParseSocketControlMessage"
	descriptors = "unix.ParseUnixRights"
)

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
	err     types.Object // the variable for the last result
}

// newPass collects the calls and the notes of a package.
func newPass(of *analysis.Pass) *pass {
	p := &pass{Pass: of, accepted: map[token.Position]bool{}, holds: map[types.Object]string{}, aliases: map[types.Object]types.Object{}}
	for _, file := range p.Files {
		if !strings.HasSuffix(p.Fset.File(file.FileStart).Name(), "_test.go") {
			ast.PreorderStack(file, nil, p.visit)
			p.accept(file)
		}
	}
	p.rights = p.mayReceive()
	return p
}

// mayReceive reports whether the package takes descriptors from control data, or leaves the control data that it receives to
// others. Such a package counts only if it does not mention kinds of sockets that carry no descriptors.
func (p *pass) mayReceive() bool {
	received, parsed, other := false, false, false
	for _, n := range p.calls {
		if n.id == descriptors {
			return true
		}
		received = received || n.oob != nil
		parsed = parsed || n.id == messages
	}
	for _, used := range p.TypesInfo.Uses {
		switch name := id(used); name {
		case "unix.SCM_RIGHTS":
			return true
		case "unix.AF_UNIX", "unix.AF_LOCAL", "unix.AF_UNSPEC", "unix.SockaddrUnix", "unix.Sockaddr":
		default:
			other = other || strings.HasPrefix(name, "unix.AF_") || strings.HasPrefix(name, "unix.Sockaddr")
		}
	}
	return received && !parsed && !other
}

func (p *pass) visit(n ast.Node, stack []ast.Node) bool {
	switch n := n.(type) {
	case *ast.RangeStmt:
		p.hold(n.Value, p.value(n.X))
	case *ast.AssignStmt:
		p.hold(n.Lhs[0], p.value(n.Rhs[0]))
		if t, ok := n.Rhs[0].(*ast.TypeAssertExpr); ok && p.object(n.Lhs[0]) != nil {
			p.aliases[p.object(n.Lhs[0])] = p.object(t.X)
		}
	case *ast.CallExpr:
		c := &call{pass: p, CallExpr: n, decl: stack[1], stack: slices.Clone(stack), fn: p.callee(n), result: p.value(n)}
		c.id = id(c.fn)
		if i := slices.IndexFunc(stack, isFunction); i >= 0 {
			c.decl, c.body = stack[i], bodyOf(stack[i])
		}
		p.add(c)
	}
	return true
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

func (p *pass) add(n *call) {
	n.assign, _ = n.stack[len(n.stack)-1].(*ast.AssignStmt)
	p.calls = append(p.calls, n)
	i := map[string]int{"unix.Recvmsg": 2, "unix.RecvmsgBuffers": 2}[n.id]
	if strings.HasSuffix(n.id, ".ReadMsgUnix") {
		i = 1
	}
	if i > 0 && i < len(n.Args) && (n.assign == nil || len(n.assign.Lhs) == 5) && !p.TypesInfo.Types[n.Args[i]].IsNil() {
		n.oob = p.operand(n.Args[i])
	}
	if n.assign != nil {
		n.carrier, n.err = p.object(cmp.Or(n.oob, n.assign.Lhs[0])), p.object(n.assign.Lhs[len(n.assign.Lhs)-1])
	}
}

func (p *pass) hold(e ast.Expr, value string) {
	if obj := p.object(e); obj != nil && value != "" {
		p.holds[obj] = value
	}
}

// value returns what an expression holds, or holds one of.
func (p *pass) value(e ast.Expr) string {
	e = p.operand(e)
	switch e := e.(type) {
	case *ast.IndexExpr:
		return p.value(e.X)
	case *ast.CallExpr:
		switch id := id(p.callee(e)); id {
		case messages, descriptors:
			return id
		case "append":
			if e.Ellipsis.IsValid() {
				return p.value(e.Args[1])
			}
		}
	}
	return p.holds[p.object(e)]
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

// counted returns the list whose length an expression is, or nil.
func (p *pass) counted(e ast.Expr) ast.Expr {
	if n, ok := ast.Unparen(e).(*ast.CallExpr); ok && id(p.callee(n)) == "len" {
		return n.Args[0]
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

// found reports whether a node has a descendant that meets a condition.
func found(n ast.Node, is func(ast.Node) bool) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		yes = yes || n != nil && is(n)
		return !yes
	})
	return yes
}

// callee returns the function that a call calls. It returns nil if the call has fewer arguments than the function has
// parameters. Such a call is a type error, or passes the results of another call: f(g()).
func (p *pass) callee(n *ast.CallExpr) types.Object {
	fn := typeutil.Callee(p.TypesInfo, n)
	least := 0
	switch fn := fn.(type) {
	case *types.Func:
		s := fn.Signature()
		if least = s.Params().Len(); s.Variadic() {
			least--
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

// id returns the package and the name of a function, a method or a constant. It is the same for packages unix and syscall.
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
