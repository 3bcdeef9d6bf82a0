package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/cfg"
	"golang.org/x/tools/go/types/typeutil"
)

// leaks reports the first return between an assignment of descriptors to a local variable and the first use of the variable
// that may close the descriptors or pass them on. The variable may also be the control buffer, or the messages in it.
func leaks(p *pass) {
	reported := map[token.Pos]bool{}
	for _, n := range p.calls {
		if n.assign == nil || !p.rights {
			continue
		}
		left := n.assign.Lhs
		w := &walk{pass: p, call: n, content: p.value(n.CallExpr), carrier: p.object(left[0]), seen: map[state]bool{}}
		if n.oob != nil {
			w.carrier = p.object(n.oob)
		}
		if len(left) > 1 {
			w.err = p.object(left[len(left)-1])
		}
		if w.carrier == nil || w.content == 0 && n.oob == nil || !w.isLocal() {
			continue
		}
		for _, b := range cfg.New(n.body, mayReturn).Blocks {
			if i := slices.Index(b.Nodes, ast.Node(n.assign)); i >= 0 {
				w.visit(state{b, w.err != nil}, i+1)
			}
		}
		if w.found != nil && !reported[w.found.Pos()] {
			reported[w.found.Pos()] = true
			p.report(w.found, "this return leaks the descriptors from line "+strconv.Itoa(p.Fset.Position(n.Pos()).Line), "")
		}
	}
}

// A walk follows the paths after an assignment on which no error occurred.
type walk struct {
	*pass
	*call
	content content
	carrier types.Object // the variable
	err     types.Object // the error of the same assignment
	seen    map[state]bool
	found   *ast.ReturnStmt
}

// A state is a point of a walk.
type state struct {
	block *cfg.Block
	ok    bool // err is nil
}

// isLocal reports whether the function declares the variable, and no function literal before the assignment uses it. When
// the function main returns, all descriptors are closed.
func (w *walk) isLocal() bool {
	isMain := w.decl.Name.Name == "main" && w.Pkg.Name() == "main"
	return !isMain && w.body.Pos() < w.carrier.Pos() && w.carrier.Pos() < w.body.End() && !found(w.body, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncLit)
		return ok && f.End() < w.Pos() && w.mentions(f, func(obj types.Object) bool { return obj == w.carrier })
	})
}

func (w *walk) isCarrier(e ast.Expr) bool { return w.object(e) == w.carrier }

func mayReturn(n *ast.CallExpr) bool {
	name := types.ExprString(n.Fun)
	name = name[strings.LastIndex(name, ".")+1:]
	return name != "panic" && name != "Exit" && name != "Goexit" && !strings.HasPrefix(name, "Fatal")
}

func (w *walk) visit(s state, from int) {
	for _, n := range s.block.Nodes[from:] {
		if w.uses(n) {
			return
		}
		switch n := n.(type) {
		case *ast.ReturnStmt:
			if w.found == nil || n.Pos() < w.found.Pos() {
				w.found = n
			}
		case *ast.AssignStmt:
			s.ok = s.ok && !slices.ContainsFunc(n.Lhs, func(e ast.Expr) bool { return w.object(e) == w.err })
		}
	}
	next := s.block.Succs
	if last := len(s.block.Nodes) - 1; len(next) == 2 && last >= 0 {
		switch w.eval(s.block.Nodes[last], s.ok) {
		case 1:
			next = next[:1]
		case -1:
			next = next[1:]
		}
	}
	for _, b := range next {
		if to := (state{b, s.ok}); !w.seen[to] {
			w.seen[to] = true
			w.visit(to, 0)
		}
	}
}

// uses reports whether a node may close the descriptors, pass them on, or receive others.
func (w *walk) uses(n ast.Node) (used bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			switch pkg, name, _ := strings.Cut(id(typeutil.Callee(w.info, n)), "."); {
			case pkg == "unix" && name == "ParseUnixRights":
				used = true
			case pkg == "unix": // The other system calls leave a descriptor open.
				return name == "Close" || name == "ParseSocketControlMessage"
			case pkg == "fmt" || pkg == "log" || pkg == "errors" || pkg == "len":
				return false
			}
		case *ast.BinaryExpr:
			return !w.isCarrier(n.X) // fd < 0
		case *ast.Ident:
			used = used || w.isCarrier(n)
		}
		return !used
	})
	return used
}

// eval returns 1 if a condition holds when descriptors were received without an error, -1 if it does not, and 0 if it may.
func (w *walk) eval(cond ast.Node, ok bool) int {
	if n, isCall := cond.(*ast.CallExpr); isCall && ok && len(n.Args) > 0 && w.object(n.Args[0]) == w.err {
		return -1 // errors.Is(err, unix.EAGAIN)
	}
	e, isBinary := cond.(*ast.BinaryExpr)
	switch {
	case !isBinary:
		return 0
	case e.Op == token.LAND:
		return min(w.eval(e.X, ok), w.eval(e.Y, ok))
	case e.Op == token.LOR:
		return max(w.eval(e.X, ok), w.eval(e.Y, ok))
	}
	x, want := w.object(e.X), w.info.Types[e.Y].Value
	isCount := w.isCarrier(w.counted(e.X))
	isBytes := w.oob != nil && x != nil && x == w.object(w.assign.Lhs[0])
	isLength := w.oob != nil && x != nil && x == w.object(w.assign.Lhs[1])
	switch {
	case ok && x != nil && x == w.err:
		return sign((e.Op == token.EQL) == w.info.Types[e.Y].IsNil())
	case w.isCarrier(w.counted(e.Y)): // i < len(messages), or want != len(fds), where want may be 0
		return sign(e.Op == token.LSS || e.Op == token.NEQ)
	case isCount && want == nil: // len(fds) != want
		return sign(e.Op == token.NEQ)
	case isLength && want == nil: // oobn != the length of a buffer for one descriptor
		return sign(e.Op == token.EQL)
	case want == nil || !isCount && !isBytes && !isLength:
		return 0
	}
	one := constant.Compare(constant.MakeInt64(1), e.Op, want)
	many := constant.Compare(constant.MakeInt64(1<<30), e.Op, want)
	if one != many && w.content != messages { // Linux puts all descriptors into one message
		return 0
	}
	return sign(one)
}

func sign(holds bool) int {
	if holds {
		return 1
	}
	return -1
}
