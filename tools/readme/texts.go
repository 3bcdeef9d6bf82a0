//go:build linux

package main

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// textFiles contains a file per library, findings/PEER.md:
//
//	# PEER
//
//	## TITLE, a sentence without a full stop
//
//	shown by: CHECK{,CHECK} PATTERN [PATTERN…]
//	harm: what a user suffers
//	private: ADDRESS first, because REASON
//	thread: none found; searched for "WORDS", "WORDS"
//
//	### Issue
//
//	Title: TITLE
//
//	Markdown that a maintainer understands without knowing this project.
//
// There is a section for each fault. The line "shown by" may be repeated. The line "private" is optional. It marks a fault
// that an attacker can use, for example to read memory, and says where to send the issue before it is made public. After
// "thread:", the address of a public thread may follow instead, and then whether it is about the same fault. If the
// installed version of the library does not have the fault, or no scenario shows it, the line "seen in: VERSION" names one
// that has it.
//
//go:embed findings/*.md
var textFiles embed.FS

// A peerText describes the faults of the library that a peer tests.
type peerText struct {
	peer   string
	faults []fault
}

// A fault is a section of a peerText.
type fault struct {
	title   string
	shown   []selection
	harm    string
	private string // where to send the issue before it is made public, or ""
	thread  string // "none found; searched for …", or an address followed by words about it
	seenIn  string // version in which the fault was reproduced by hand, if the installed version does not have it
	issue   string // Markdown that begins with "Title: "
}

// A selection selects the findings that show a fault.
type selection struct {
	checks   []scenario.Check
	patterns patterns
}

// readTexts parses the embedded texts. They are sorted by the name of the peer.
func readTexts() (list []peerText, wrong error) {
	names, err := textFiles.ReadDir("findings")
	if err != nil {
		return nil, err
	}
	for _, f := range names {
		text, err := textFiles.ReadFile(path.Join("findings", f.Name()))
		if err != nil {
			return nil, err
		}
		p, err := parseText(strings.TrimSuffix(f.Name(), ".md"), string(text))
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("tools/readme/findings/%s: %w", f.Name(), err))
		}
		list = append(list, p)
	}
	return list, wrong
}

// parseText parses the text about a peer. It returns an error for each malformed section.
func parseText(peer, text string) (peerText, error) {
	p := peerText{peer: peer}
	head, sections, _ := strings.Cut(text, "\n## ")
	var wrong error
	if strings.TrimSpace(head) != "# "+peer {
		wrong = fmt.Errorf("the first line must be %q, and a heading of a fault must follow", "# "+peer)
	}
	if notLibraries[peer] != "" || !slices.ContainsFunc(rows, func(w row) bool { return slices.Contains(w.peers, peer) }) && rowless[peer] == "" {
		wrong = errors.Join(wrong, fmt.Errorf("no peer that tests a library has the name %s", peer))
	}
	titles := map[string]bool{}
	for _, section := range strings.Split(sections, "\n## ") {
		f, err := parseFault(section)
		if err == nil && titles[anchor(f.title)] {
			err = errors.New("the title is used twice")
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%q: %w", f.title, err))
		}
		titles[anchor(f.title)] = true
		p.faults = append(p.faults, f)
	}
	return p, wrong
}

const issueHeading = "\n### Issue\n"

// parseFault parses a section without the "## " of its heading.
func parseFault(section string) (f fault, err error) {
	fields, issue, found := strings.Cut(section, issueHeading)
	f.title, fields, _ = strings.Cut(fields, "\n")
	f.issue = strings.TrimSpace(issue)
	if !found {
		return f, errors.New(`there is no heading "### Issue"`)
	}
	if f.title == "" || strings.HasSuffix(f.title, ".") {
		return f, errors.New("a title is a sentence without a full stop")
	}
	values, err := parseFields(fields)
	if err != nil {
		return f, err
	}
	for _, words := range values["shown by"] {
		s, err := parseSelection(words)
		if err != nil {
			return f, err
		}
		f.shown = append(f.shown, s)
	}
	f.harm, f.thread, f.seenIn = strings.Join(values["harm"], " "), strings.Join(values["thread"], " "), strings.Join(values["seen in"], " ")
	f.private = strings.Join(values["private"], " ")
	switch {
	case f.shown == nil && f.seenIn == "":
		return f, errors.New(`there is no line "shown by: CHECK PATTERN"`)
	case f.harm == "":
		return f, errors.New(`there is no line "harm: …"`)
	case values["private"] != nil && !privateForm.MatchString(f.private):
		return f, errors.New(`the line "private: …" must contain an e-mail address or "https://…"`)
	case !threadForm.MatchString(f.thread):
		return f, errors.New(`there is no line "thread: none found; searched for "WORDS", "WORDS"" with at least two searches, or "thread: https://… WORDS"`)
	case !issueForm.MatchString(f.issue):
		return f, errors.New(`an issue begins with "Title: …" and an empty line, followed by its text`)
	}
	if word := term.FindString(code.ReplaceAllString(f.issue, "")); word != "" {
		return f, fmt.Errorf("the issue uses %q, a term of this project that a maintainer does not know", word)
	}
	return f, nil
}

var (
	privateForm = regexp.MustCompile(`https://\S|\S@\S`)
	threadForm  = regexp.MustCompile(`^(none found[^;"]*; searched for "[^"]+"(,| and) "[^"]+"|https://\S+($|\s))`)
	issueForm   = regexp.MustCompile(`^Title: \S.*\n\n`)

	// term matches the terms that an issue must not use. In code, they are names of the library's own.
	term = regexp.MustCompile(`(?i)\b(peers?|scenarios?|runners?|pools?|verdicts?|scm interop)\b`)
	code = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
)

// parseFields parses the lines of a section above the issue. A line that begins with none of the names
// continues the field above it.
func parseFields(text string) (map[string][]string, error) {
	values := map[string][]string{}
	var last string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, value, found := strings.Cut(line, ":")
		switch {
		case line == "":
			last = ""
		case found && slices.Contains([]string{"shown by", "harm", "private", "thread", "seen in"}, name):
			values[name] = append(values[name], strings.TrimSpace(value))
			last = name
		case last == "":
			return nil, fmt.Errorf("not a field: %q", line)
		default:
			values[last][len(values[last])-1] += " " + line
		}
	}
	return values, nil
}

// parseSelection parses CHECK{,CHECK} PATTERN [PATTERN…].
func parseSelection(words string) (s selection, err error) {
	list := strings.Fields(words)
	if len(list) < 2 {
		return s, fmt.Errorf("%q is not CHECK{,CHECK} PATTERN [PATTERN…]", words)
	}
	for _, check := range strings.Split(strings.Trim(list[0], "{}"), ",") {
		if !slices.Contains(scenario.Checks, scenario.Check(check)) {
			return s, fmt.Errorf("%q is not a check: %v", check, scenario.Checks)
		}
		s.checks = append(s.checks, scenario.Check(check))
	}
	for _, text := range list[1:] {
		p, err := scenario.ParsePattern(text)
		if err != nil {
			return s, err
		}
		s.patterns = append(s.patterns, p)
	}
	return s, nil
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchor returns the anchor that GitHub generates from a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
