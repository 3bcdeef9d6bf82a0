// Package checks has the analyzers of scmvet. They find mistakes in programs that pass descriptors over Unix sockets.
// They skip tests, because the descriptors of a test need not outlive it.
package checks

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const pitfalls = "docs/pitfalls.md#"

// Analyzers are all analyzers.
var Analyzers = []*analysis.Analyzer{
	check("scmflags", "report receives that discard the flags, which alone say that descriptors were lost",
		"msg_ctrunc-does-not-always-mean-that-the-buffer-was-too-small", flags),
	check("scmleak", "report returns between a receive and the close of its descriptors, which leak them",
		"an-early-return-leaks-descriptors", leaks),
	check("scmoob", "report control buffers parsed as a whole, because the rest may hold an earlier message",
		"only-part-of-the-control-buffer-is-filled", controlBuffers),
	check("scmfd", "report Fd on the file of a connection that stays in use, because it makes the connection blocking",
		"filefd-makes-a-file-blocking", fdCalls),
	check("scmcount", "report descriptors used without a check of their count, because there may be none, or more",
		"a-buffer-for-one-descriptor-accepts-two", counts),
	check("scmcloexec", "report receives without MSG_CMSG_CLOEXEC, because child processes inherit the descriptors",
		"received-descriptors-are-not-close-on-exec-by-default", receiveFlags),
	check("scmnewfile", "report os.NewFile on received descriptors, because the sender can make the poller block",
		"a-received-file-in-the-poller-can-stop-a-go-program", newFiles),
	check("scmdupfd", "report F_DUPFD, because child processes inherit the duplicate",
		"a-duplicate-is-not-close-on-exec-by-default", duplicates),
	check("scmclose", "report loops over descriptors that close the index, which may be another file",
		"a-loop-can-close-its-index", closeLoops),
}

func check(name, doc, section string, run func(*pass)) *analysis.Analyzer {
	return &analysis.Analyzer{
		Name:             name,
		Doc:              doc + "\n\nSee " + pitfalls + section + " in the scm repository.\n\nTo accept a finding, write //scmvet:ignore " + name + " REASON on the same line or on the line above it.",
		URL:              "https://github.com/scm-rights/scm/blob/main/" + pitfalls + section,
		RunDespiteErrors: true,
		Requires:         []*analysis.Analyzer{shared},
		Run: func(of *analysis.Pass) (any, error) {
			p := *of.ResultOf[shared].(*pass)
			p.Pass, p.accepted = of, map[token.Position]bool{}
			for _, file := range p.Files {
				if !p.isTest(file) {
					p.accept(file)
				}
			}
			run(&p)
			return nil, nil
		},
	}
}

// accept reads notes. A note is about its line. If it has the column of the code below, it is no trailing note, and
// about that code.
func (p *pass) accept(file *ast.File) {
	hasNote := func(n ast.Node) bool {
		c, ok := n.(*ast.Comment)
		return ok && strings.HasPrefix(c.Text, "//scmvet:ignore")
	}
	if !slices.ContainsFunc(file.Comments, func(g *ast.CommentGroup) bool { return found(g, hasNote) }) {
		return
	}
	for code, groups := range ast.NewCommentMap(p.Fset, file, file.Comments) {
		for _, group := range groups {
			for _, note := range group.List {
				words := strings.Fields(note.Text)
				isMine := len(words) > 1 && words[0] == "//scmvet:ignore" && words[1] == p.Analyzer.Name
				if isMine && len(words) == 2 {
					p.report(note, "this note has no effect, because it gives no reason", "")
				} else if isMine {
					p.accepted[p.line(note.Pos())] = true
					if p.Fset.Position(note.Pos()).Column == p.Fset.Position(code.Pos()).Column {
						p.accepted[p.line(code.Pos())] = true
					}
				}
			}
		}
	}
}

// report reports a finding at a node, unless a note accepts it. The fix, if it is not empty, replaces the node.
func (p *pass) report(at ast.Node, message, fix string) {
	if p.accepted[p.line(at.Pos())] {
		return
	}
	d := analysis.Diagnostic{Pos: at.Pos(), End: at.End(), URL: p.Analyzer.URL, Message: message + " (" + p.Analyzer.Name + ")"}
	if fix != "" {
		edit := analysis.TextEdit{Pos: at.Pos(), End: at.End(), NewText: []byte(fix)}
		d.SuggestedFixes = []analysis.SuggestedFix{{Message: "Use " + fix, TextEdits: []analysis.TextEdit{edit}}}
	}
	p.Report(d)
}
