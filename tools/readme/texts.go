//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

// A peerText is a page about the faults of the library that a peer tests, docs/findings/PEER.md. The page is written by hand,
// except for what is between markers:
//
//	# Faults of LIBRARY
//
//	<!-- version -->
//	<!-- end -->
//
//	<!-- versions -->
//	<!-- end -->
//
//	## TITLE, a sentence without a full stop
//
//	What a user suffers.
//
//	Public thread: none found; searched for "WORDS", "WORDS". Related: [NAME](https://…) WORDS
//
//	What you can do: what a user of the library does until the fault is fixed.
//
//	<!-- shown by: CHECK{,CHECK} PATTERN [PATTERN…] -->
//	<!-- end -->
//
//	### Text of an issue
//
//	````markdown
//	Title: TITLE
//
//	Markdown that a maintainer understands without knowing this project.
//	````
//
// There is a section for each fault. If the library's project has a report of the same fault, the line is "Public thread:
// [NAME](https://…) is the same fault" instead. A related thread, which is optional, is about the same code, or about the same
// fault elsewhere. The marker may have several lines "shown by". If the installed version of the library does not have the
// fault, or no scenario shows it, a line "seen in: VERSION" in the marker names one that has it. If an attacker can use the
// fault, for example to read memory, "**Do not file this publicly yet.** Send it to ADDRESS first, because REASON" precedes
// the text of the issue.
type peerText struct {
	peer   string
	page   string
	faults []fault
}

// A fault is a section of a peerText.
type fault struct {
	title     string
	marker    string // the content of the marker
	shown     []selection
	reported  bool   // there is a report of it in the project of the library
	thread    string // the text after "Public thread:"
	related   string // the link to the first related thread
	meanwhile string // the text after "What you can do:"
	seenIn    string // version in which the fault was reproduced by hand, if the installed version does not have it
}

// A selection selects the findings that show a fault.
type selection struct {
	checks   []scenario.Check
	patterns patterns
}

// readTexts reads the pages about libraries. They are sorted by the name of the peer.
func readTexts(root string) (list []peerText, wrong error) {
	files, _ := filepath.Glob(filepath.Join(root, findingsDir, "*.md")) // the pattern is valid
	for _, file := range files {
		if filepath.Base(file) == filepath.Base(versionsFile) {
			continue
		}
		page, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, err := parseText(strings.TrimSuffix(filepath.Base(file), ".md"), string(page))
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", p.file(), err))
		}
		list = append(list, p)
	}
	return list, wrong
}

// file returns the name of the page.
func (p *peerText) file() string { return findingsDir + "/" + p.peer + ".md" }

// parseText parses the page about a peer. It returns an error for each malformed section.
func parseText(peer, page string) (peerText, error) {
	p := peerText{peer: peer, page: page}
	head, sections, _ := strings.Cut(page, "\n## ")
	var wrong error
	if title := "# Faults of " + libraryName(peer) + "\n"; !strings.HasPrefix(head, title) || !strings.Contains(head, "\n"+versionMarker) {
		wrong = fmt.Errorf("the first line must be %q, and %q and a heading of a fault must follow", title, versionMarker)
	}
	if notLibraries[peer] != "" || !slices.ContainsFunc(rows, func(w row) bool { return slices.Contains(w.Peers, peer) }) && rowless[peer] == "" {
		wrong = errors.Join(wrong, fmt.Errorf("no peer that tests a library has the name %s", peer))
	}
	titles, markers := map[string]bool{}, map[string]bool{}
	for _, section := range strings.Split(sections, "\n## ") {
		f, err := parseFault(section)
		if err == nil && (titles[f.title] || markers[f.marker]) {
			err = errors.New("the title or the marker is used twice")
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%q: %w", f.title, err))
		}
		titles[f.title], markers[f.marker] = true, true
		p.faults = append(p.faults, f)
	}
	return p, wrong
}

const (
	versionMarker = "<!-- version -->\n"
	versionLabel  = "Version in the suite's transcripts: "
)

// The parts of a section: the consequence, the public thread, the advice, the marker, the address for a fault that must not be public yet,
// and the text of an issue.
var sectionForm = regexp.MustCompile("(?s)^(?:\n(.*?)\n)?\nPublic thread: (.*?)\n\nWhat you can do: (.*?)\n\n<!--\\s+(.*?)\\s+-->\n.*?<!-- end -->\n" +
	"\n### Text of an issue\n\n(?:\\*\\*Do not file this publicly yet\\.\\*\\* Send it to (.*?)\n\n)?(`{4,})markdown\n(.*)\n(`{4,})\n*$")

// parseFault parses a section without the "## " of its heading.
func parseFault(section string) (f fault, err error) {
	title, rest, _ := strings.Cut(section, "\n")
	f.title = title
	if title == "" || strings.HasSuffix(title, ".") {
		return f, errors.New("a title is a sentence without a full stop")
	}
	part := sectionForm.FindStringSubmatch(rest)
	if part == nil {
		return f, errors.New(`a section consists of the consequence, "Public thread: …", "What you can do: …", a marker with "shown by: CHECK PATTERN", "### Text of an issue" and a block of Markdown`)
	}
	harm, thread, private, issue := part[1], part[2], part[5], part[7]
	f.marker, f.reported = part[4], !strings.HasPrefix(thread, "none found")
	f.thread, f.meanwhile = thread, part[3]
	if m := relatedForm.FindStringSubmatch(thread); m != nil {
		f.related = m[1]
	}
	switch {
	case harm == "":
		return f, errors.New("there is no consequence")
	case private != "" && !privateForm.MatchString(private):
		return f, errors.New(`the sentence "Send it to …" must contain an e-mail address or "https://…"`)
	case !threadForm.MatchString(thread):
		return f, errors.New(`there is no line "Public thread: none found; searched for "WORDS", "WORDS"" with at least two searches, or "Public thread: [NAME](https://…) is the same fault"`)
	case !issueForm.MatchString(issue):
		return f, errors.New(`an issue begins with "Title: …" and an empty line, followed by its text`)
	case part[6] != part[8] || strings.Contains("\n"+issue, "\n"+part[6]):
		return f, errors.New("the text of an issue must be between fences that are longer than those in it")
	}
	if word := term.FindString(code.ReplaceAllString(issue, "")); word != "" {
		return f, fmt.Errorf("the issue uses %q, a term of this project that a maintainer does not know", word)
	}
	f.shown, f.seenIn, err = parseMarker(f.marker)
	return f, err
}

var (
	privateForm = regexp.MustCompile(`https://\S|\S@\S`)
	threadForm  = regexp.MustCompile(`^(none found[^;"]*; searched for "[^"]+"(,| and) "[^"]+"|\[[^\]]+\]\(https://\S+\) is the same fault($|[.,;]))`)
	relatedForm = regexp.MustCompile(`\. Related: (\[[^\]]+\]\(https://[^)\s]+\)) `)
	issueForm   = regexp.MustCompile(`^Title: \S.*\n\n`)

	// term matches the terms that an issue must not use. In code, they are names of the library's own.
	term = regexp.MustCompile(`(?i)\b(peers?|scenarios?|runners?|pools?|verdicts?|scm interop)\b`)
	code = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
)

// parseMarker parses the lines in the marker of a fault.
func parseMarker(marker string) (shown []selection, seenIn string, err error) {
	for line := range strings.Lines(marker) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "shown by":
			s, err := parseSelection(value)
			if err != nil {
				return nil, "", err
			}
			shown = append(shown, s)
		case "seen in":
			seenIn = value
		default:
			return nil, "", fmt.Errorf(`not a line "shown by: CHECK PATTERN" or "seen in: VERSION": %q`, line)
		}
	}
	return shown, seenIn, nil
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
