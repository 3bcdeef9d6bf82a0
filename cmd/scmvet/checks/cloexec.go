package checks

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strings"
)

// receiveFlags reports receives without MSG_CMSG_CLOEXEC, on systems that have it. Package net always passes it.
//
//	unix.Recvmsg(sock, p, oob, 0)
func receiveFlags(p *pass) {
	for _, r := range p.calls {
		if !p.rights || r.oob == nil || !strings.HasPrefix(r.id, "unix.") || p.mentions(r.decl, "unix.ForkLock") {
			continue
		}
		arg := r.Args[3]
		flag, _ := r.fn.Pkg().Scope().Lookup("MSG_CMSG_CLOEXEC").(*types.Const)
		passed := p.integer(arg)
		if flag == nil || passed == nil || constant.Sign(constant.BinaryOp(passed, token.AND, flag.Val())) != 0 {
			continue
		}
		fix := strings.TrimSuffix(types.ExprString(r.Fun), r.fn.Name()) + flag.Name()
		if types.ExprString(arg) != "0" {
			fix = types.ExprString(arg) + "|" + fix
		}
		p.report(arg, "without MSG_CMSG_CLOEXEC, a child process started at this moment inherits the received descriptors", fix)
	}
}

// duplicates reports calls with F_DUPFD.
//
//	unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 0)
func duplicates(p *pass) {
	for _, n := range p.calls {
		for _, arg := range n.Args {
			if s, ok := arg.(*ast.SelectorExpr); ok && id(p.object(s)) == "unix.F_DUPFD" && !p.mentions(n.decl, "unix.ForkLock") {
				p.report(s.Sel, "without F_DUPFD_CLOEXEC, a child process started at this moment inherits the duplicate", "F_DUPFD_CLOEXEC")
			}
		}
	}
}
