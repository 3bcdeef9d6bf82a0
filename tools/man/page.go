package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A reference is another manual page.
type reference struct{ name, section string }

// A generator writes the pages of a tree of commands.
type generator struct {
	root     string // the name of the program
	date     string
	texts    map[string]string // by the name of the page
	commands map[string]string // the name of the page of each command, by the words of the command
}

// pages returns the text of each page, by the name of the page.
func pages(root command, date string) map[string]string {
	g := &generator{root: root.Name, date: date, texts: map[string]string{}, commands: map[string]string{}}
	g.collect(root, root.Name)
	g.generate(root, root.Name, "")
	return g.texts
}

func (g *generator) collect(c command, words string) {
	g.commands[words] = strings.ReplaceAll(words, " ", "-")
	for _, sub := range c.Commands {
		g.collect(sub, words+" "+sub.Name)
	}
}

// generate writes the page of a command, and those of its subcommands.
func (g *generator) generate(c command, words, parent string) {
	g.texts[g.commands[words]] = g.page(c, words, parent)
	for _, sub := range c.Commands {
		g.generate(sub, words+" "+sub.Name, words)
	}
}

// page returns the page of a command. The words are those to type, such as "scm interop run".
func (g *generator) page(c command, words, parent string) string {
	name := g.commands[words]
	body, status := exitStatus(c.Long)
	if body == "" {
		body = c.Short + "."
	}

	p := &roff{}
	p.line(`.TH %s 1 "%s" "%s" "%s manual"`, escape(strings.ToUpper(name)), g.date, g.root, g.root)
	// Hyphenation would divide the names of flags.
	p.line(".nh")
	p.line(".ad l")
	p.line(".SH NAME")
	p.line(`%s \-`, escape(name))
	p.fill(lowerFirst(c.Short))
	p.line(".SH SYNOPSIS")
	p.line("%s", synopsis(c.Use, words))
	if len(c.Commands) > 0 {
		p.line(".br")
		p.line(`%s \fICOMMAND\fR`, bold(words))
	}
	p.line(".SH DESCRIPTION")
	p.paragraphs(body)
	if len(c.Commands) > 0 {
		p.line(".SH COMMANDS")
		for _, sub := range c.Commands {
			p.line(".TP")
			p.line("%s(1)", bold(g.commands[words+" "+sub.Name]))
			p.fill(sub.Short + ".")
		}
	}
	if len(c.Aliases) > 0 {
		p.line(".SH ALIASES")
		p.fill(strings.Join(c.Aliases, ", "))
	}
	p.line(".SH OPTIONS")
	for _, f := range c.Flags {
		p.flag(f)
	}
	if status != "" {
		p.line(".SH EXIT STATUS")
		p.status(status)
	}
	if c.Example != "" {
		p.line(".SH EXAMPLES")
		p.paragraphs(c.Example)
	}
	p.line(".SH SEE ALSO")
	p.references(g.related(c, words, parent))
	return p.String()
}

var (
	uses    = regexp.MustCompile(`\b([a-z_][\w.-]*)\((\d)\)`)
	literal = regexp.MustCompile(`^([("]*)(--?[a-z][a-z-]*|[a-z_][\w.-]*\(\d\))(.*)$`)
	operand = regexp.MustCompile(`[A-Z][A-Z_]*|--?[a-z][a-z-]*`)
)

// related returns the pages of the commands above and below, of those that the text mentions, and of everything else
// that the text refers to.
func (g *generator) related(c command, words, parent string) []reference {
	set := map[reference]bool{{"unix", "7"}: true}
	for other, name := range g.commands {
		below := strings.HasPrefix(other, words+" ") && !strings.Contains(other[len(words)+1:], " ")
		mentioned := regexp.MustCompile(`\b` + regexp.QuoteMeta(other) + `\b`).MatchString(c.Long)
		if other == parent || below || mentioned && strings.Contains(other, " ") {
			set[reference{name, "1"}] = true
		}
	}
	if parent == "" {
		set[reference{"scm_rights", "7"}] = true
	}
	for _, match := range uses.FindAllStringSubmatch(c.Long, -1) {
		set[reference{match[1], match[2]}] = true
	}
	delete(set, reference{g.commands[words], "1"})
	return slices.SortedFunc(maps.Keys(set), func(a, b reference) int {
		return strings.Compare(a.section+" "+a.name, b.section+" "+b.name)
	})
}

// synopsis marks up a usage line: the words of the command and its flags in bold, operands in italics.
func synopsis(use, words string) string {
	var b strings.Builder
	b.WriteString(bold(words))
	rest := strings.TrimPrefix(use, words)
	for len(rest) > 0 {
		at := operand.FindStringIndex(rest)
		if at == nil {
			b.WriteString(escape(rest))
			break
		}
		b.WriteString(escape(rest[:at[0]]))
		if word := rest[at[0]:at[1]]; word[0] == '-' {
			b.WriteString(bold(word))
		} else {
			b.WriteString(italic(word))
		}
		rest = rest[at[1]:]
	}
	return b.String()
}

// exitStatus takes the paragraph about the exit status out of the help text of a command.
func exitStatus(long string) (body, status string) {
	var others []string
	for _, paragraph := range strings.Split(strings.TrimSpace(long), "\n\n") {
		rest, found := strings.CutPrefix(paragraph, "Exit status:")
		switch {
		case found:
			status = upperFirst(strings.TrimPrefix(rest, " "))
		case strings.HasPrefix(paragraph, "The exit status"):
			status = paragraph
		default:
			others = append(others, paragraph)
		}
	}
	return strings.Join(others, "\n\n"), status
}

// A flag whose default is one of these has it because none was set.
var noDefault = []string{"", "false", "0", "0s", "[]"}

func (p *roff) flag(f flagOf) {
	p.line(".TP")
	text := bold("--" + f.Name)
	if f.Shorthand != "" {
		text = bold("-"+f.Shorthand) + ", " + text
	}
	if f.Value != "" {
		text += " " + italic(f.Value)
	}
	p.line("%s", text)
	usage := upperFirst(f.Usage)
	if !slices.Contains(noDefault, f.Default) {
		usage += fmt.Sprintf(" (default: %s)", f.Default)
	}
	if !strings.HasSuffix(usage, "…") {
		usage += "."
	}
	p.fill(usage)
}

// column matches a row of a table of exit codes.
var column = regexp.MustCompile(`^  (\S+)  +(\S.*)$`)

// status writes the text about the exit status: sentences, and after them a table.
func (p *roff) status(text string) {
	var sentences []string
	var tag, meaning string
	row := func() {
		if tag != "" {
			p.line(".TP 8")
			p.line("%s", bold(tag))
			p.fill(upperFirst(meaning) + ".")
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if match := column.FindStringSubmatch(line); match != nil {
			if tag == "" {
				p.fill(strings.Join(sentences, " "))
			}
			row()
			tag, meaning = match[1], match[2]
			continue
		}
		if tag != "" {
			meaning += " " + strings.TrimSpace(line)
			continue
		}
		sentences = append(sentences, line)
	}
	if tag == "" {
		p.fill(strings.Join(sentences, " "))
	}
	row()
}

func (p *roff) references(list []reference) {
	for i, r := range list {
		end := ","
		if i == len(list)-1 {
			end = ""
		}
		p.line("%s(%s)%s", bold(r.name), r.section, end)
	}
}
