// Package checks has the analyzers of scmvet. They find mistakes in programs that pass descriptors over Unix sockets.
// They skip tests, because the descriptors of a test need not outlive it.
package checks

import (
	"go/ast"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const pitfalls = "https://github.com/scm-rights/scm/blob/main/docs/pitfalls.md#"

// Analyzers are all analyzers.
var Analyzers = []*analysis.Analyzer{
	check("scmflags", "the flags of a received message are never read", "msg_ctrunc-does-not-always-mean-that-the-buffer-was-too-small", flags),
	check("scmleak", "a function returns between a receive and the close of its descriptors", "an-early-return-leaks-descriptors", leaks),
	check("scmoob", "a control buffer is parsed beyond the received data", "only-part-of-the-control-buffer-is-filled", controlBuffers),
	check("scmfd", "Fd is called on a connection or file that stays in use", "filefd-makes-a-file-blocking", fdCalls),
	check("scmcount", "a received descriptor is used without a check of the count", "a-buffer-for-one-descriptor-accepts-two", counts),
	check("scmcloexec", "descriptors are received without MSG_CMSG_CLOEXEC", "received-descriptors-are-not-close-on-exec-by-default", receiveFlags),
	check("scmnewfile", "os.NewFile is called on a received descriptor", "a-received-file-in-the-poller-can-stop-a-go-program", newFiles),
	check("scmdupfd", "F_DUPFD is used instead of F_DUPFD_CLOEXEC", "a-duplicate-is-not-close-on-exec-by-default", duplicates),
	check("scmclose", "a loop closes its index instead of the descriptor", "a-loop-can-close-its-index", closeLoops),
}

// A pass is a run of one analyzer on one package.
type pass struct {
	*analysis.Pass
	*parts
}

func check(name, doc, section string, run func(*pass)) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name:             name,
		Doc:              doc + "\n\nTo accept a finding, write //scmvet:ignore " + name + " REASON on the same line or on the line above.",
		URL:              pitfalls + section,
		Requires:         []*analysis.Analyzer{collector},
		RunDespiteErrors: true,
		Run: func(p *analysis.Pass) (any, error) {
			c := p.ResultOf[collector].(*parts)
			for _, note := range c.notes {
				if f := strings.Fields(note.Text); len(f) == 2 && f[1] == name {
					p.Report(analysis.Diagnostic{Pos: note.Pos(), End: note.End(), URL: p.Analyzer.URL, Message: note.Text + " needs a reason"})
				}
			}
			run(&pass{p, c})
			return nil, nil
		},
	}
}

// report reports a finding at a node, unless a note accepts it. The fix, if it is not empty, replaces the node.
func (p *pass) report(at ast.Node, message, fix string) {
	line := p.Fset.Position(at.Pos())
	for _, note := range p.notes {
		where, f := p.Fset.Position(note.Pos()), strings.Fields(note.Text)
		if len(f) > 1 && f[1] == p.Analyzer.Name && where.Filename == line.Filename && (where.Line == line.Line || where.Line == line.Line-1) {
			return
		}
	}
	d := analysis.Diagnostic{Pos: at.Pos(), End: at.End(), URL: p.Analyzer.URL, Message: message}
	if fix != "" {
		edit := analysis.TextEdit{Pos: at.Pos(), End: at.End(), NewText: []byte(fix)}
		d.SuggestedFixes = []analysis.SuggestedFix{{Message: "Use " + fix, TextEdits: []analysis.TextEdit{edit}}}
	}
	p.Report(d)
}
