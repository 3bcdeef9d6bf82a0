package man

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// pages returns the text of each page, by the name of the page.
func pages(root *cobra.Command, date string) map[string]string {
	texts := map[string]string{}
	for _, c := range tree(root) {
		texts[pageName(c)] = page(c, date)
	}
	return texts
}

// tree returns a command, and all commands below it that --help lists, except help itself.
func tree(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, tree(sub)...)
		}
	}
	return list
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// page returns the page of a command.
func page(c *cobra.Command, date string) string {
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	words, name, root := c.CommandPath(), pageName(c), c.Root().Name()
	body, status := exitStatus(c.Long)
	if body == "" {
		body = c.Short + "."
	}

	p := &roff{}
	p.line(`.TH %s 1 "%s" "%s" "%s manual"`, escape(strings.ToUpper(name)), date, root, root)
	// Hyphenation would divide the names of flags.
	p.line(".nh")
	p.line(".ad l")
	p.line(".SH NAME")
	p.line(`%s \-`, escape(name))
	p.fill(lowerFirst(c.Short))
	p.line(".SH SYNOPSIS")
	p.line("%s", synopsis(c.UseLine(), words))
	if c.HasAvailableSubCommands() {
		p.line(".br")
		p.line(`%s \fICOMMAND\fR`, bold(words))
	}
	p.line(".SH DESCRIPTION")
	p.paragraphs(body)
	if c.HasAvailableSubCommands() {
		p.line(".SH COMMANDS")
		for _, sub := range tree(c) {
			if sub.Parent() != c {
				continue
			}
			p.line(".TP")
			p.line("%s(1)", bold(pageName(sub)))
			p.fill(sub.Short + ".")
		}
	}
	if len(c.Aliases) > 0 {
		p.line(".SH ALIASES")
		p.fill(strings.Join(c.Aliases, ", "))
	}
	p.line(".SH OPTIONS")
	for _, f := range append(visited(c.LocalFlags().VisitAll), visited(c.InheritedFlags().VisitAll)...) {
		if !f.Hidden {
			p.flag(f.Name, f.Shorthand, f.Value.Type(), f.DefValue, f.Usage)
		}
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
	p.references(related(c))
	return p.String()
}

var (
	uses    = regexp.MustCompile(`\b([a-z_][\w.-]*)\((\d)\)`)
	literal = regexp.MustCompile(`^([("]*)(--?[a-z][a-z-]*|[a-z_][\w.-]*\(\d\))(.*)$`)
	operand = regexp.MustCompile(`[A-Z][A-Z_]*|--?[a-z][a-z-]*|[^A-Z-]+|-`)
)

// related returns the pages of the commands above and below, of those that the text mentions, and of everything else
// that the text refers to, as "SECTION NAME".
func related(c *cobra.Command) []string {
	set := map[string]bool{"7 unix": true, "7 scm_rights": !c.HasParent()}
	for _, other := range tree(c.Root()) {
		mentioned := regexp.MustCompile(`\b` + regexp.QuoteMeta(other.CommandPath()) + `\b`).MatchString(c.Long)
		if other == c.Parent() || other.Parent() == c || mentioned && other.HasParent() {
			set["1 "+pageName(other)] = other != c
		}
	}
	for _, match := range uses.FindAllStringSubmatch(c.Long, -1) {
		set[match[2]+" "+match[1]] = true
	}
	maps.DeleteFunc(set, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(set))
}

// synopsis marks up a usage line: the words of the command and its flags in bold, operands in italics.
func synopsis(use, words string) string {
	return bold(words) + operand.ReplaceAllStringFunc(strings.TrimPrefix(use, words), func(word string) string {
		switch {
		case 'A' <= word[0] && word[0] <= 'Z':
			return italic(word)
		case word[0] == '-' && len(word) > 1:
			return bold(word)
		}
		return escape(word)
	})
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

// visited returns the values that a function such as FlagSet.VisitAll visits. It is generic so that
// the module does not have to require pflag, whose types cobra's functions use.
func visited[T any](visitAll func(func(T))) []T {
	var list []T
	visitAll(func(v T) { list = append(list, v) })
	return list
}

// flag writes a flag. Like --help, it prefers a name for the value that is in back quotes in the usage.
func (p *roff) flag(name, shorthand, value, byDefault, usage string) {
	if before, rest, quoted := strings.Cut(usage, "`"); quoted {
		var after string
		value, after, _ = strings.Cut(rest, "`")
		usage = before + value + after
	} else if value == "bool" {
		value = ""
	}
	p.line(".TP")
	text := bold("--" + name)
	if shorthand != "" {
		text = bold("-"+shorthand) + ", " + text
	}
	if value != "" {
		text += " " + italic(value)
	}
	p.line("%s", text)
	usage = upperFirst(usage)
	if !slices.Contains(noDefault, byDefault) {
		usage += fmt.Sprintf(" (default: %s)", byDefault)
	}
	if !strings.HasSuffix(usage, "…") {
		usage += "."
	}
	p.fill(usage)
}

// row matches a row of a table of exit codes. The further lines of its text are indented.
var row = regexp.MustCompile(`(?m)^  (\S+)  +(\S.*(?:\n   .*)*)$`)

// status writes the text about the exit status: sentences, and after them a table.
func (p *roff) status(text string) {
	rows := row.FindAllStringSubmatchIndex(text, -1)
	sentences := text
	if rows != nil {
		sentences = text[:rows[0][0]]
	}
	p.fill(sentences)
	for _, at := range rows {
		p.line(".TP 8")
		p.line("%s", bold(text[at[2]:at[3]]))
		p.fill(upperFirst(text[at[4]:at[5]]) + ".")
	}
}

func (p *roff) references(list []string) {
	for i, r := range list {
		section, name, _ := strings.Cut(r, " ")
		list[i] = fmt.Sprintf("%s(%s)", bold(name), section)
	}
	p.line("%s", strings.Join(list, ",\n"))
}
