package checks

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// newFiles reports calls of os.NewFile on received descriptors, unless the function cleared O_NONBLOCK of the
// descriptor before.
//
//	fds, err := unix.ParseUnixRights(&messages[0])
//	f := os.NewFile(uintptr(fds[0]), "")
func newFiles(p *pass) {
	for _, n := range p.calls {
		if n.id == "os.NewFile" && p.value(n.Args[0]) == descriptors && !slices.ContainsFunc(p.calls, n.isBlockingSince) {
			p.report(n, "os.NewFile polls a received file that the sender made non-blocking, so a sender that serves it by FUSE can stop the whole program; use scm.NewFile, or clear O_NONBLOCK first", "")
		}
	}
}

// isBlockingSince reports whether an earlier call in the function cleared O_NONBLOCK of the first argument.
func (n *call) isBlockingSince(earlier *call) bool {
	return earlier.decl == n.decl && earlier.Pos() < n.Pos() && earlier.clearsNonblock() &&
		types.ExprString(n.operand(earlier.Args[0])) == types.ExprString(n.operand(n.Args[0]))
}

// clearsNonblock reports whether a call is SetNonblock(fd, false) or FcntlInt(fd, F_SETFL, flags &^ O_NONBLOCK).
func (n *call) clearsNonblock() bool {
	switch n.id {
	case "unix.SetNonblock":
		on := n.TypesInfo.Types[n.Args[1]].Value
		return on != nil && on.String() == "false"
	case "unix.FcntlInt":
		flags, ok := ast.Unparen(n.Args[2]).(*ast.BinaryExpr)
		return ok && flags.Op == token.AND_NOT && id(n.object(n.Args[1])) == "unix.F_SETFL"
	}
	return false
}
