//go:build linux

package main

import (
	"fmt"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/report"
)

// squares are the kinds of squares in the picture, each with its letter, its colours in the light and the dark theme,
// and its legend. A square shows the results of one sender and one receiver on all socket types.
var squares = []struct{ letter, light, dark, legend string }{
	{"✓", "#2da44e", "#238636", "every scenario passes"},
	{"~", "#d4a72c", "#9e6a03", "some fail as expected"},
	{"✗", "#cf222e", "#da3633", "every scenario fails as expected"},
	{"", "#eaeef2", "#21262d", "no scenario for this pair"},
}

// squareOf returns the index in squares for two peers.
func squareOf(passed, failed int) int {
	switch {
	case passed+failed == 0:
		return 3
	case failed == 0:
		return 0
	case passed == 0:
		return 2
	}
	return 1
}

// picture returns the interoperability matrix as SVG. All squares of the same kind are drawn as
// one path.
func picture(r *report.Report) string {
	const size, top = 18, 10
	pairs := r.Pairs()
	n := len(r.Peers)
	left := 0
	for i, p := range r.Peers {
		left = max(left, 16+len(fmt.Sprint(p.Name, " ", i+1))*67/10) // 6.7 pixels a character
	}
	paths := make([]string, len(squares))
	var names, letters string
	for i, a := range r.Peers {
		y := top + size*i
		names += fmt.Sprintf("<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s %d</text>\n", left-6, y+13, a.Name, i+1)
		names += fmt.Sprintf("<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%d</text>\n", left+size*i+9, top+size*n+13, i+1)
		for j, b := range r.Peers {
			t := pairs[[2]string{a.Name, b.Name}]
			kind := squareOf(t.Pass, t.Expected+t.Unexpected())
			x := left + size*j
			paths[kind] += fmt.Sprintf("M%d %dh16v16h-16z", x+1, y+1)
			if letter := squares[kind].letter; letter != "" {
				letters += fmt.Sprintf("<text x=\"%d\" y=\"%d\">%s</text>\n", x+9, y+13, letter)
			}
		}
	}
	var light, dark, legend, marks string
	for i, s := range squares {
		light += fmt.Sprintf(" .s%d{fill:%s}", i, s.light)
		dark += fmt.Sprintf(" .s%d{fill:%s}", i, s.dark)
		x, y := 10+250*(i%2), top+size*n+28+22*(i/2)
		legend += fmt.Sprintf("<path class=\"s%d\" d=\"M%d %dh16v16h-16z\"/><text x=\"%d\" y=\"%d\">%s</text>\n", i, x, y, x+22, y+13, s.legend)
		marks += fmt.Sprintf("<text x=\"%d\" y=\"%d\">%s</text>\n", x+8, y+12, s.letter)
	}
	width, height := max(left+size*n+10, 460), top+size*n+78 // the legend needs 460
	text := fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n", width, height, width, height) +
		"<title>Senders (rows) and receivers (columns)</title>\n" +
		"<style>text{font:12px sans-serif;fill:#1f2328} .l text{fill:#fff;text-anchor:middle}" + light +
		" @media(prefers-color-scheme:dark){text{fill:#e6edf3}" + dark + "}</style>\n"
	for i, p := range paths {
		text += fmt.Sprintf("<path class=\"s%d\" d=\"%s\"/>\n", i, p)
	}
	return text + names + legend + "<g class=\"l\">\n" + letters + marks + "</g>\n</svg>\n"
}

// matrixPage returns the text of docs/matrix.md, which lists how many scenarios passed and failed on each socket
// type.
func matrixPage(r *report.Report) string {
	text := `# Interoperability matrix

This page shows the results of ` + "`make interop PEERS=all`" + ` on ` + r.System.Kind + ` ` + r.System.Machine + ` for every pair of peers. Rows are senders, columns are receivers.

![A square for each sender and receiver: every scenario passes, some fail as expected, or every scenario fails as expected](matrix.svg)

The tables below show the numbers for each socket type. Each cell contains the number of scenarios that pass, followed by an ` + "`x`" +
		` and the number of expected failures, if any. ` + "`-`" + ` means that every scenario is unsupported.
An expected failure is a known fault of a peer. [expected.txt](../interop/catalogue/expected.txt) lists each one with its reason. If a case that is expected to fail passes, the run fails.
` + "`go run ./tools/readme -w REPORT`" + ` writes this page and the picture. CI runs fewer pairs, and compares the cells that it has.
`
	for _, t := range contract.SocketTypes {
		text += "\n## " + t + "\n\n```\n"
		_, body, _ := strings.Cut(r.Matrix(t), "\n")
		for l := range strings.Lines(body) {
			text += strings.TrimRight(l, " \n") + "\n"
		}
		text += "```\n"
	}
	return text
}
