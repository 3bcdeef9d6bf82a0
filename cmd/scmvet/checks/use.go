package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A tracker knows which variables have the descriptors.
type tracker struct {
	*pass
	home     ast.Node     // the function
	except   *ast.FuncLit // the function literal with the call, if the variable is declared outside of it
	carriers map[types.Object]bool
}

// borrows reports whether a function neither closes the descriptors in a parameter nor passes them on.
func (p *pass) borrows(decl *ast.FuncDecl, param types.Object) bool {
	t := &tracker{p, decl, nil, map[types.Object]bool{param: true}}
	return !t.takes(decl.Body)
}

// takes reports whether a node may close the descriptors or pass them on. It notes the variables that the node copies
// them to.
func (t *tracker) takes(n ast.Node) (yes bool) {
	if n == nil {
		return false
	}
	preorder(n, nil, func(n ast.Node, stack []ast.Node) bool {
		if e, ok := n.(*ast.Ident); ok && !yes && t.carriers[t.object(e)] {
			yes = t.escapes(e, stack)
		}
		return !yes
	})
	return yes
}

// escapes reports whether a mention of a carrier, in the nodes around it, may close the descriptors or pass them on.
func (t *tracker) escapes(child ast.Node, stack []ast.Node) bool {
	if slices.ContainsFunc(stack, func(n ast.Node) bool { _, ok := n.(*ast.FuncLit); return ok }) {
		return true
	}
	for i, parent := range slices.Backward(stack) {
		switch n := parent.(type) {
		case *ast.ParenExpr, *ast.StarExpr, *ast.TypeAssertExpr, *ast.UnaryExpr, *ast.CompositeLit, *ast.KeyValueExpr:
		case *ast.SliceExpr:
			if n.X != child {
				return false
			}
		case *ast.IndexExpr:
			if n.X != child { // a key
				return i > 0 && sets(stack[i-1], n)
			}
		case *ast.BinaryExpr:
			if isComparison(n.Op) {
				return false
			}
		case *ast.SelectorExpr:
			obj := t.TypesInfo.ObjectOf(n.Sel)
			if _, ok := obj.(*types.Func); ok && n.X == child {
				return true
			}
			if n.X == child && (obj == nil || !canHold(obj.Type())) {
				return false
			}
		case *ast.CallExpr:
			if goesOn, isTaken := t.passes(n, child); !goesOn {
				return isTaken
			}
		case *ast.AssignStmt:
			return t.assigns(n.Lhs, n.Rhs, child) && n.Tok != token.ADD_ASSIGN
		case *ast.ValueSpec:
			lhs := make([]ast.Expr, len(n.Names))
			for i, name := range n.Names {
				lhs[i] = name
			}
			return t.assigns(lhs, n.Values, child)
		case *ast.RangeStmt:
			if n.X != child {
				return false
			}
			typ := t.TypesInfo.TypeOf(n.X)
			return t.carries(n.Value) || typ != nil && isMap(typ) && t.carries(n.Key)
		case *ast.ReturnStmt, *ast.SendStmt, *ast.GoStmt:
			return true
		default:
			return false
		}
		child = parent
	}
	return false
}

func isMap(t types.Type) bool { _, ok := t.Underlying().(*types.Map); return ok }

// carries notes that a loop sets a variable to the descriptors, or reports that it sets a field or an element.
func (t *tracker) carries(e ast.Expr) (isTaken bool) {
	name, isName := e.(*ast.Ident)
	if isName && t.object(name) != nil {
		t.carriers[t.object(name)] = true
	}
	return e != nil && !isName
}

// sets reports whether a statement sets an element, as m[fd] = true does.
func sets(n ast.Node, element ast.Expr) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return slices.Contains(n.Lhs, element)
	case *ast.IncDecStmt:
		return n.X == element
	}
	return false
}

// assigns reports whether an assignment stores the descriptors outside of the function's variables, or overwrites them.
func (t *tracker) assigns(lhs, rhs []ast.Expr, child ast.Node) bool {
	for i, e := range rhs {
		if e != child {
			continue
		}
		to := ast.Unparen(lhs[min(i, len(lhs)-1)])
		if field, ok := to.(*ast.SelectorExpr); ok && t.isFresh(t.object(field.X)) {
			to = ast.Unparen(field.X)
		}
		name, ok := to.(*ast.Ident)
		if !ok {
			return true
		}
		obj, isVar := t.object(name).(*types.Var)
		isLocal := isVar && obj.Parent() != t.Pkg.Scope() && obj.Pos() > t.home.Pos() && !t.isCaptured(obj)
		if isLocal {
			t.carriers[obj] = true
		}
		return !isLocal && name.Name != "_"
	}
	return true
}

// passes reports what happens to an argument: it becomes the value of the call, or else whether the call takes it.
func (t *tracker) passes(n *ast.CallExpr, arg ast.Node) (goesOn, isTaken bool) {
	i := slices.IndexFunc(n.Args, func(e ast.Expr) bool { return e == arg })
	if i < 0 { // a method of the carrier, or the carrier itself
		return false, true
	}
	fn := t.callee(n)
	if t.TypesInfo.Types[n.Fun].IsType() || slices.Contains(makers, id(fn)) {
		return true, false
	}
	if s := t.summary(fn); len(s.Borrows) > 0 && s.Borrows[min(i, len(s.Borrows)-1)] {
		return false, false
	}
	f, ok := fn.(*types.Func)
	if !ok {
		return false, !slices.Contains([]string{"len", "cap", "make", "print", "println"}, id(fn))
	}
	params, recv := f.Signature().Params(), f.Signature().Recv()
	isMethodOfInterface := recv != nil && types.IsInterface(recv.Type())
	if isAnys(params.At(min(i, params.Len()-1)).Type()) && t.summaries[f] == nil && !isMethodOfInterface {
		return false, false // for a log or an error text
	}
	return false, !slices.Contains(borrowers, strings.TrimPrefix(id(f), "unix."))
}

// makers are functions whose result is made from their arguments.
var makers = []string{"append", "fmt.Sprint", "fmt.Sprintf", "fmt.Sprintln"}

// borrowers are system calls that leave a descriptor open, and other functions that only look.
var borrowers = strings.Fields(`SetNonblock CloseOnExec Fstat Fstatfs FcntlInt Getsockname Getpeername GetsockoptInt GetsockoptUcred
	SetsockoptInt Seek Ftruncate Fchmod Fchown Flock IoctlGetInt IoctlSetInt Bind Listen Connect Dup Dup2 Dup3 ParseUnixCredentials
	Read Write Pread Pwrite Sendto Sendmsg SendmsgN Mmap Fsync Fchdir Setns UnixRights Fallocate PidfdSendSignal
	errors.New`)
