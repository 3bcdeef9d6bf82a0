package checks

import (
	"go/ast"
	"go/types"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// parts has what the analyzers need of a package. One walk collects it.
type parts struct {
	info     *types.Info
	rights   bool // the package receives descriptors
	calls    []*call
	receives []*call
	notes    []*ast.Comment
	holds    map[types.Object]content // what variables and fields hold
}

type content int

const (
	messages    content = iota + 1 // parsed control messages
	descriptors                    // received descriptors
	descriptor
	length // the number of bytes of control data
)

type call struct {
	*ast.CallExpr
	decl   *ast.FuncDecl
	body   *ast.BlockStmt  // the body of the innermost function literal, or of decl
	stack  []ast.Node      // the nodes around the call in body
	assign *ast.AssignStmt // what assigns the results, or nil
	id     string          // the id of the function
	oob    ast.Expr        // the control buffer of a receive
}

var collector = &analysis.Analyzer{
	Name:             "scmparts",
	Doc:              "collect what the other analyzers need",
	ResultType:       reflect.TypeFor[*parts](),
	RunDespiteErrors: true,
	Run: func(p *analysis.Pass) (any, error) {
		c := &parts{info: p.TypesInfo, holds: map[types.Object]content{}}
		for _, file := range p.Files {
			if strings.HasSuffix(p.Fset.File(file.FileStart).Name(), "_test.go") {
				continue
			}
			for _, group := range file.Comments {
				for _, comment := range group.List {
					if strings.HasPrefix(comment.Text, "//scmvet:ignore ") {
						c.notes = append(c.notes, comment)
					}
				}
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
					c.collect(f, f.Body)
				}
			}
		}
		return c, nil
	},
}

// collect collects the parts of a function, or of a function literal in it.
func (c *parts) collect(decl *ast.FuncDecl, body *ast.BlockStmt) {
	ast.PreorderStack(body, []ast.Node{decl}, func(n ast.Node, stack []ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			c.collect(decl, n.Body)
			return false
		case *ast.RangeStmt:
			if c.value(n.X) == descriptors {
				c.hold(n.Value, descriptor)
			}
		case *ast.AssignStmt:
			c.hold(n.Lhs[0], c.value(n.Rhs[0]))
		case *ast.CallExpr:
			if c.info.Types[n.Fun].IsType() {
				break // a conversion
			}
			c.add(&call{CallExpr: n, decl: decl, body: body, stack: slices.Clone(stack), id: id(typeutil.Callee(c.info, n))})
		}
		return true
	})
}

func (c *parts) add(n *call) {
	if a, ok := n.stack[len(n.stack)-1].(*ast.AssignStmt); ok && len(a.Rhs) == 1 {
		n.assign = a
	}
	c.calls = append(c.calls, n)
	c.rights = c.rights || n.id == "unix.ParseUnixRights"
	i := map[string]int{"unix.Recvmsg": 2, "unix.RecvmsgBuffers": 2}[n.id]
	if strings.HasSuffix(n.id, ".ReadMsgUnix") {
		i = 1
	}
	if i > 0 && i < len(n.Args) && !c.info.Types[n.Args[i]].IsNil() {
		n.oob = c.operand(n.Args[i])
		c.receives = append(c.receives, n)
		if n.assign != nil {
			c.hold(n.assign.Lhs[1], length)
		}
	}
}

func (c *parts) hold(e ast.Expr, value content) {
	if obj := c.object(e); obj != nil && value != 0 {
		c.holds[obj] = value
	}
}

// value returns what an expression is.
func (c *parts) value(e ast.Expr) content {
	e = c.operand(e)
	switch e := e.(type) {
	case *ast.IndexExpr:
		if c.value(e.X) == descriptors {
			return descriptor
		}
	case *ast.CallExpr:
		switch id(typeutil.Callee(c.info, e)) {
		case "unix.ParseSocketControlMessage":
			return messages
		case "unix.ParseUnixRights":
			return descriptors
		case "append":
			if len(e.Args) == 2 && e.Ellipsis.IsValid() {
				return c.value(e.Args[1])
			}
		}
	}
	return c.holds[c.object(e)]
}

// object returns the variable or field that an expression denotes, or nil.
func (c *parts) object(e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		if e.Name != "_" {
			return c.info.ObjectOf(e)
		}
	case *ast.SelectorExpr:
		return c.info.ObjectOf(e.Sel)
	}
	return nil
}

// same reports whether two expressions denote the same variable or field.
func (c *parts) same(a, b ast.Expr) bool {
	return c.object(a) != nil && c.object(a) == c.object(b) && types.ExprString(a) == types.ExprString(b)
}

// mentions reports whether a node mentions an object that meets a condition.
func (c *parts) mentions(n ast.Node, is func(types.Object) bool) bool {
	return found(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		return ok && is(c.info.Uses[id])
	})
}

// counted returns the list whose length an expression is, or nil.
func (c *parts) counted(e ast.Expr) ast.Expr {
	if n, ok := ast.Unparen(e).(*ast.CallExpr); ok && id(typeutil.Callee(c.info, n)) == "len" {
		return n.Args[0]
	}
	return nil
}

// operand returns the operand of e[:] and of conversions such as uintptr(fd).
func (c *parts) operand(e ast.Expr) ast.Expr {
	switch n := ast.Unparen(e).(type) {
	case *ast.SliceExpr:
		if n.Low == nil && n.High == nil {
			return c.operand(n.X)
		}
	case *ast.CallExpr:
		if len(n.Args) == 1 && c.info.Types[n.Fun].IsType() {
			return c.operand(n.Args[0])
		}
	}
	return ast.Unparen(e)
}

// found reports whether a node has a descendant that meets a condition.
func found(n ast.Node, is func(ast.Node) bool) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		yes = yes || n != nil && is(n)
		return !yes
	})
	return yes
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
