package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
)

const (
	maxPattern = 120 // a longer list of scenarios continues in the next line
	maxReason  = 110 // a longer reason is cut
)

// A proposals value collects lines for a file of expected failures.
type proposals struct {
	mark   string // prefix of each reason
	causes map[place]map[Check]cause
}

// A place is the scope of a line, and the peer in some or all versions, as in PEER<8.4.
type place struct {
	scope
	peer string
}

func newProposals(mark string) *proposals {
	return &proposals{mark: mark, causes: map[place]map[Check]cause{}}
}

// add adds a check of a peer in these scopes. The function why returns the cause in a scope.
func (p *proposals) add(check Check, peer string, scopes []scope, why func(scope) cause) {
	for _, s := range scopes {
		at := place{s, peer}
		if p.causes[at] == nil {
			p.causes[at] = map[Check]cause{}
		}
		p.causes[at][check] = why(s)
	}
}

// A group contains the properties that several places have in common. Places of one group share a line, or
// a few lines if there are too many scenarios for one.
type group struct {
	tail string
	keys string // {CHECK,CHECK}@PEER
	kind string // of the cause
}

// lines returns the lines, sorted.
func (p *proposals) lines() (lines []string) {
	scenarios, reasons := map[group][]string{}, map[group]string{}
	for at, causes := range p.causes {
		keys, c := combine(causes)
		g := group{at.tail, keys + "@" + at.peer, c.kind}
		scenarios[g] = append(scenarios[g], at.scenario)
		reasons[g] = shorter(cmp.Or(reasons[g], c.text), c.text)
	}
	for g, names := range scenarios {
		for _, pattern := range joinScenarios(names, g.tail) {
			lines = append(lines, fmt.Sprintf("%s %s %s%s", pattern, g.keys, p.mark, reasons[g]))
		}
	}
	slices.Sort(lines)
	return lines
}

// combine returns the checks as {CHECK,CHECK}, and their causes as one.
func combine(causes map[Check]cause) (checks string, all cause) {
	var words, kinds, texts []string
	for _, check := range slices.Backward(Checks) { // leak before answer, because its text is shorter
		if c, ok := causes[check]; ok {
			words, kinds, texts = append(words, string(check)), append(kinds, c.kind), append(texts, c.text)
		}
	}
	return braces(words), cause{strings.Join(kinds, "\n"), strings.Join(slices.Compact(texts), "; ")}
}

// shorter returns the shorter of two texts. Of texts with the same length, it returns the first in
// alphabetical order, so that the order in which texts are compared makes no difference.
func shorter(a, b string) string {
	if len(a) < len(b) || len(a) == len(b) && a < b {
		return a
	}
	return b
}

// joinScenarios returns patterns for the cases that the tail selects in these scenarios. It begins
// another pattern when one becomes too long.
func joinScenarios(names []string, tail string) (patterns []string) {
	var part []string
	slices.Sort(names)
	for _, name := range names {
		next := append(slices.Clone(part), name)
		if len(part) > 0 && len(casePattern(next, tail)) > maxPattern {
			patterns = append(patterns, casePattern(part, tail))
			next = []string{name}
		}
		part = next
	}
	return append(patterns, casePattern(part, tail))
}

// casePattern returns the pattern for the cases that the tail selects in these scenarios.
func casePattern(scenarios []string, tail string) string {
	if scenarios[0] == "" { // all scenarios
		if strings.HasPrefix(tail, "**") {
			return tail
		}
		return "**/" + tail
	}
	groups, ids := map[string]bool{}, []string(nil)
	group := ""
	for _, s := range scenarios {
		id := ""
		group, id, _ = strings.Cut(s, "/")
		groups[group], ids = true, append(ids, id)
	}
	pattern := braces(scenarios)
	if len(groups) == 1 {
		pattern = group + "/" + braces(ids)
	}
	// A pattern without "**" matches all names that begin with it.
	if tail == "**" {
		return pattern
	}
	return pattern + "/" + strings.TrimSuffix(tail, "/**")
}

// A cause is why a case fails a check. Cases with the same kind can share a line. The text is the
// reason that is proposed for it.
type cause struct{ kind, text string }

// The forms of the texts of findings.
var (
	answerForm = regexp.MustCompile(`(?s)^answered (.*?)\nexpected (.*?) \(([^()\n]*)\)(?:\n|$)`)
	endForm    = regexp.MustCompile(`(?s)^the peer ended: (.*?)(?:; standard error: (.*))?$`)
	// kindForm matches the part of a text that other cases with the same cause have in common, except for digits.
	kindForm = regexp.MustCompile(`^[^"\n]*`)
	digits   = regexp.MustCompile(`[0-9]+`)
)

const cloexecCause = "does not pass MSG_CMSG_CLOEXEC, so child processes inherit received descriptors"

// causeOf returns the cause of a finding.
func causeOf(f Finding, c Case) cause {
	text, _, _ := strings.Cut(f.Text, "\n")
	kind := digits.ReplaceAllString(kindForm.FindString(f.Text), "0")
	answer, end := answerForm.FindStringSubmatch(f.Text), endForm.FindStringSubmatch(f.Text)
	switch {
	case f.Check == CheckCloexec:
		text = cloexecCause
		kind = text
	case f.Check == CheckLeak:
		text = leakCause(f, c)
		kind = text
	case f.Check == CheckHang:
		text = "no answer to " + c.Scenario.commandBefore(f.Line)
		kind = text
	case answer != nil:
		kind, text = answerCause(answer[1], answer[2], answer[3])
	case end != nil:
		kind = "crashes: " + end[1]
		text = strings.TrimSuffix(kind+": "+mainLine(end[2]), ": ")
	}
	return cause{string(f.Check) + " " + kind, reasonText(text)}
}

// leakCause returns what a peer leaves open.
func leakCause(f Finding, c Case) string {
	switch {
	case strings.HasPrefix(f.Text, "the sender's pidfd, "):
		return "leaves a received pidfd open"
	case c.B.Name == f.Peer:
		return "leaves a received descriptor open"
	}
	return "keeps a descriptor open that it did not report"
}

// answerCause returns the kind and the text for a quoted answer, the first answer that the scenario
// accepts, and how they differ.
func answerCause(got, want, why string) (kind, text string) {
	text = fmt.Sprintf("%s instead of %q", got, want)
	if e := errorForm.FindString(got); e != "" || why == "not err" {
		return "answers " + e, "answers " + text
	}
	kind, _, _ = strings.Cut(why, " is ")        // "payload is 71"
	kind, _, _ = strings.Cut(kind, ", and not ") // "0 descriptors, and not 2"
	return kind, why + ": " + text
}

// errorForm matches a quoted answer with an error.
var errorForm = regexp.MustCompile(`^"err [^ "]+`)

// mainLine returns the most informative line of a program's error output. That is usually the first
// line. A Python traceback ends with the error, and Rust prints the location first.
func mainLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	switch {
	case strings.HasPrefix(lines[0], "Traceback"):
		return lines[len(lines)-1]
	case strings.HasSuffix(lines[0], ":") && len(lines) > 1:
		return lines[1]
	}
	return lines[0]
}

// commandBefore returns the last command at or before a line of the transcript, without the fields
// that differ from case to case.
func (s *Scenario) commandBefore(line int) (command string) {
	for _, st := range s.Steps {
		if st.Line <= line && st.Kind == StepCommand {
			command = st.Command.Verb
			if flags := st.Command.Fields["flags"]; flags != "" {
				command += " flags=" + flags
			}
		}
	}
	return cmp.Or(command, "hello")
}

// reasonText returns a text as the reason of a line: in one line, with single spaces, not too long.
func reasonText(text string) string {
	return display.Shorten(strings.Join(strings.Fields(display.Line(text)), " "), maxReason)
}

// A failure is a finding and the case in which it occurred.
type failure struct {
	Finding
	Case
}

// among returns the failures in the scope.
func (s scope) among(list []failure) (some []failure) {
	for _, f := range list {
		if s.selects(f.Name()) {
			some = append(some, f)
		}
	}
	return some
}

// commonCause returns the most frequent cause of the failures, with the shortest text for it.
func commonCause(list []failure) (common cause) {
	count, text := map[string]int{}, map[string]string{}
	for _, f := range list {
		c := causeOf(f.Finding, f.Case)
		count[c.kind]++
		if text[c.kind] == "" {
			text[c.kind] = c.text
		}
		text[c.kind] = shorter(text[c.kind], c.text)
	}
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		if count[kind] > count[common.kind] {
			common = cause{kind, text[kind]}
		}
	}
	return common
}
