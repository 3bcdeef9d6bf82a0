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

const maxReason = 140 // a longer text in a reason is cut

// A proposals value collects blocks for a file of expected failures.
type proposals struct {
	mark     string // prefix of each reason
	reason   string // of each block, or "" to propose a reason
	failures map[place]map[Check][]failure
}

// A place is the scope of a line, and the peer in some or all versions, as in PEER<8.4.
type place struct {
	scope
	peer string
}

func newProposals(mark, reason string) *proposals {
	return &proposals{mark: mark, reason: reason, failures: map[place]map[Check][]failure{}}
}

// add adds a check of a peer, in these versions, in these scopes, with the failures in the list that are in the scopes.
func (p *proposals) add(of subject, versions string, scopes []scope, list []failure) {
	for _, s := range scopes {
		at := place{s, of.peer + versions}
		if p.failures[at] == nil {
			p.failures[at] = map[Check][]failure{}
		}
		p.failures[at][of.check] = slices.DeleteFunc(slices.Clone(list), func(f failure) bool { return !s.selects(of, f.Case) })
	}
}

// A group contains the properties that several places have in common. Places of one group share a block.
type group struct {
	role     Role
	partners string
	checks   string // {CHECK,CHECK}
	peer     string
	kind     string // of the cause
}

// A proposal is a block, and the name of a case in which the failure occurred, if known.
type proposal struct{ block, example string }

// blocks returns the blocks, sorted.
func (p *proposals) blocks() (list []proposal) {
	places := map[group][]place{}
	for at, checks := range p.failures {
		g := group{at.role, at.partners, bracedChecks(checks), at.peer, ""}
		if p.reason == "" {
			g.kind = commonKinds(checks)
		}
		places[g] = append(places[g], at)
	}
	for g, at := range places {
		failures := p.failuresIn(at)
		example := exampleOf(failures)
		reason := cmp.Or(p.reason, proposedReason(failures, example))
		first := fmt.Sprintf("%s@%s%s %s%s", g.checks, g.peer, seatText(g.role, g.partners), p.mark, reason)
		list = append(list, proposal{blockOf(first, patterns(at)), example})
	}
	slices.SortFunc(list, func(a, b proposal) int { return cmp.Compare(a.block, b.block) })
	return list
}

// blockOf returns a block, or a line if there is only one pattern.
func blockOf(first string, patterns []string) string {
	if len(patterns) == 1 {
		return patterns[0] + " " + first
	}
	return first + "\n  " + strings.Join(patterns, "\n  ")
}

// patterns returns the patterns of places, sorted.
func patterns(places []place) (list []string) {
	for _, at := range places {
		list = append(list, strings.TrimSuffix(cmp.Or(at.scenario, "**")+"/"+at.typ, "/"))
	}
	slices.Sort(list)
	return list
}

// failuresIn returns the failures in several places.
func (p *proposals) failuresIn(places []place) map[Check][]failure {
	all := map[Check][]failure{}
	for _, at := range places {
		for check, list := range p.failures[at] {
			all[check] = append(all[check], list...)
		}
	}
	return all
}

// inOrder returns the checks in the order in which a line names them: leak before answer, because
// its text is shorter.
func inOrder(failures map[Check][]failure) (list []Check) {
	for _, check := range slices.Backward(Checks) {
		if _, ok := failures[check]; ok {
			list = append(list, check)
		}
	}
	return list
}

// bracedChecks returns the checks as {CHECK,CHECK}.
func bracedChecks(failures map[Check][]failure) string {
	var words []string
	for _, check := range inOrder(failures) {
		words = append(words, string(check))
	}
	return braces(words)
}

// commonKinds returns the most frequent kind of cause for each check, one per line.
func commonKinds(failures map[Check][]failure) string {
	var kinds []string
	for _, check := range inOrder(failures) {
		kinds = append(kinds, commonKind(failures[check]))
	}
	return strings.Join(kinds, "\n")
}

// exampleOf returns the name of the case that is the easiest to read. It prefers cases with the most
// frequent cause, and those that fail more of the checks. Without failures, it returns "".
func exampleOf(failures map[Check][]failure) string {
	var list []failure
	checks := map[string]int{} // that the case fails for the most frequent cause, by its name
	for _, check := range inOrder(failures) {
		common := ofKind(failures[check], commonKind(failures[check]))
		list = append(list, common...)
		seen := map[string]bool{} // a case can have several findings of a check
		for _, f := range common {
			if !seen[f.Name] {
				seen[f.Name] = true
				checks[f.Name]++
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	best := slices.MinFunc(list, func(a, b failure) int {
		return cmp.Or(cmp.Compare(checks[b.Name], checks[a.Name]), easier(a, b))
	})
	return best.Name
}

// easier compares failures by the effort to read their cases, and then by name.
func easier(a, b failure) int {
	return cmp.Or(cmp.Compare(a.ReadingEffort(), b.ReadingEffort()), cmp.Compare(a.Name, b.Name))
}

// proposedReason returns a reason with a text for each check. The text is from the example case, if
// it fails the check. If it differs in another case, the reason says that it is an example.
func proposedReason(failures map[Check][]failure, example string) string {
	var texts []string
	differ := false
	for _, check := range inOrder(failures) {
		list := failures[check]
		common := ofKind(list, commonKind(list))
		if len(common) == 0 {
			continue
		}
		at := slices.IndexFunc(common, func(f failure) bool { return f.Name == example })
		text := slices.MinFunc(common, easier).cause().text
		if at >= 0 {
			text = common[at].cause().text
		}
		texts = append(texts, text)
		differ = differ || slices.ContainsFunc(list, func(f failure) bool { return f.cause().text != text })
	}
	reason := strings.Join(slices.Compact(texts), "; ")
	if differ {
		return "for example: " + reason
	}
	return reason
}

// A cause is why a case fails a check. Cases with the same kind can share a block. The text is the
// reason that is proposed for it.
type cause struct{ kind, text string }

// The forms of the texts of findings.
var (
	answerForm = regexp.MustCompile(`(?s)^([a-z ]*answered) (.*?)\nexpected (.*?) \(([^()\n]*)\)(?:\n|$)`)
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
		kind, text = answerCause(answer[2], answer[3], answer[4], strings.Count(f.Text, "\nexpected ")-1)
		text = answer[1] + " " + text
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
// accepts, how they differ, and the number of alternatives that the scenario also accepts.
func answerCause(got, want, why string, alternatives int) (kind, text string) {
	text = fmt.Sprintf("%s instead of %q", got, want)
	switch alternatives {
	case 0:
	case 1:
		text += " or an alternative"
	default:
		text += fmt.Sprintf(" or %d alternatives", alternatives)
	}
	if e := errorForm.FindString(got); e != "" || why == "not err" {
		return "answers " + e, text
	}
	if why == "it reports no flags" || strings.HasPrefix(why, "no flag ") {
		return "a flag is missing", text
	}
	kind, _, _ = strings.Cut(why, " is ")        // "payload is 71"
	kind, _, _ = strings.Cut(kind, ", and not ") // "0 descriptors, and not 2"
	return kind, text
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

// A failure is a finding and the result of the case in which it occurred.
type failure struct {
	Finding
	*Result
}

// cause returns the cause of the finding.
func (f failure) cause() cause { return causeOf(f.Finding, f.Case) }

// commonKind returns the most frequent kind of cause of the failures.
func commonKind(list []failure) (common string) {
	count := map[string]int{}
	for _, f := range list {
		count[f.cause().kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		if count[kind] > count[common] {
			common = kind
		}
	}
	return common
}

// ofKind returns the failures with this kind of cause.
func ofKind(list []failure, kind string) (some []failure) {
	for _, f := range list {
		if f.cause().kind == kind {
			some = append(some, f)
		}
	}
	return some
}
