package man

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A roff builds a page in the language of man(7). The help of scm is plain text, which needs only a few macros.
// cobra/doc would parse it as Markdown, change it, and require another module.
type roff struct{ strings.Builder }

const (
	inputWidth = 78 // of a line of the page, in bytes
	// A terminal has 80 columns, of which man(1) uses 79. Text begins in the eighth.
	screen = 79
	indent = 7
)

func (p *roff) line(format string, args ...any) {
	fmt.Fprintf(p, format+"\n", args...)
}

// paragraphs writes a text: paragraphs separated by empty lines, lines that are indented by two spaces or a tab, which
// are copied as they are, and lists of items that begin with "- ".
func (p *roff) paragraphs(text string) {
	first := true
	for _, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, "- ") {
			p.items(paragraph)
			continue
		}
		// cobra's help of the command completion contains headings in Markdown.
		lines := strings.Split(strings.TrimPrefix(paragraph, "#### "), "\n")
		for len(lines) > 0 {
			if !first {
				p.line(".PP")
			}
			first = false
			n := 1
			for n < len(lines) && verbatim(lines[n]) == verbatim(lines[0]) {
				n++
			}
			if verbatim(lines[0]) {
				p.copied(lines[:n])
			} else {
				p.fill(strings.Join(lines[:n], " "))
			}
			lines = lines[n:]
		}
	}
}

func verbatim(line string) bool {
	return strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
}

// items writes a list. The further lines of an item are indented.
func (p *roff) items(text string) {
	for _, item := range strings.Split(strings.TrimPrefix(text, "- "), "\n- ") {
		p.line(`.IP \(bu 2`)
		p.fill(item)
	}
}

// copied writes lines as they are, without their first two spaces or tab. Lines that are too long for the screen begin
// farther to the left.
func (p *roff) copied(lines []string) {
	width := 0
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(line, "  "), "\t")
		width = max(width, utf8.RuneCountInString(lines[i]))
	}
	left := min(indent, screen-width)
	if left < indent {
		p.line(".in %dn", left)
	}
	p.line(".nf")
	for _, line := range lines {
		p.line("%s", guard(escape(line)))
	}
	p.line(".fi")
	if left < indent {
		p.line(".in")
	}
}

// fill writes text that is filled. Each sentence begins on a new line, because troff puts two spaces after one that
// ends a line and one space after the others.
func (p *roff) fill(text string) {
	line := ""
	flush := func() {
		if strings.HasSuffix(line, "...") {
			line += `\&` // not the end of a sentence
		}
		if line != "" {
			p.line("%s", guard(line))
		}
		line = ""
	}
	for _, word := range strings.Fields(text) {
		marked := markup(word)
		if line != "" && len(line)+1+len(marked) > inputWidth {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += marked
		if end := strings.TrimRight(word, `)"'`); strings.HasSuffix(end, ".") && !strings.HasSuffix(end, "...") {
			flush()
		}
	}
	flush()
}

// guard keeps troff from taking a line of text for a macro.
func guard(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// markup escapes a word, and makes a flag or a reference to a manual page bold.
func markup(word string) string {
	match := literal.FindStringSubmatch(word)
	if match == nil {
		return escape(word)
	}
	name, section := match[2], ""
	if at := strings.IndexByte(name, '('); at >= 0 {
		name, section = name[:at], name[at:]
	}
	return escape(match[1]) + bold(name) + escape(section+match[3])
}

func bold(text string) string   { return `\fB` + escape(text) + `\fR` }
func italic(text string) string { return `\fI` + escape(text) + `\fR` }

// escapes are the characters that have a meaning in troff, or that it replaces with typographic ones.
var escapes = map[rune]string{
	'\\': `\(rs`,
	'-':  `\-`,
	'\'': `\(aq`,
	'"':  `\(dq`,
	'`':  `\(ga`,
	'^':  `\(ha`,
	'~':  `\(ti`,
}

// escape makes text safe in a line or an argument of a macro. All hyphens are ASCII's, so that a reader can copy any
// text into a shell.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch escaped, special := escapes[r]; {
		case special:
			b.WriteString(escaped)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }
