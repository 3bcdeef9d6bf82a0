package judge

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/scenario"
)

// An answer is what a side has answered to the command of a step, and what has changed with it.
type answer struct {
	*side
	step scenario.Step
	fact.Answer
	fact.Observation
	missing *fact.Missing // there is no answer, and nothing else is known; or nil
}

// A reading says what the text of an answer is, and what is wrong with it. The text is correct if then is nil.
type reading struct {
	fds         []int          // the descriptors that it names, even if it is wrong
	matches     bool           // it matches an alternative of the step, or the two cannot be compared
	formed      bool           // it has the form that the contract requires
	fits        [][]string     // for each alternative that it matches, the names for fds
	order       string         // of the side's answers, if only some alternatives of the step are Swapped
	refusal     bool           // the library has rejected an operation and may no longer use the connection
	nothingSent bool           // nothing was transferred: the other library may no longer use the connection
	then        error          // nil, errCaseOver, or ErrPairOver if no later answer can be trusted
	check       scenario.Check // what is wrong; "" if the answer says nothing about the peers
	text        string         // of the finding, or why it says nothing
	short       string         // of the finding: how it differs from the first alternative
}

// read judges an answer by its text alone.
func (a answer) read() (r reading) {
	switch {
	case a.Said == "unsupported" && a.hasBasicCommand() && !a.refused:
		text := fmt.Sprintf("answered unsupported to %q, which a peer must support on each socket type in its can=, "+
			"with a call of its own if its library has none", a.text)
		return reading{formed: true, check: scenario.CheckContract, text: text, then: errCaseOver}
	case a.Said == "unsupported":
		return reading{formed: true, then: errCaseOver}
	}
	text, wants, wantsErr := a.forComparison()
	got, fds, err := contract.ParseAnswer(kernel.Vocabulary, a.command.Verb, text)
	switch {
	case err != nil:
		return reading{fds: fds, check: scenario.CheckContract, text: err.Error(), then: ErrPairOver}
	case wantsErr != nil:
		return reading{fds: fds, formed: true, matches: true, then: errCaseOver, text: wantsErr.Error()}
	}
	r.fds, r.formed = fds, true
	namesErrno := false
	difference := "answered " + contract.Quote(text)
	for i, want := range wants {
		names, why := want.Match(got)
		if why == "" {
			r.matches = true
			why = a.surplus(got)
		}
		order := orderOf(a.step, want)
		if why == "" && order != "" && a.order != "" && order != a.order {
			why = "an earlier answer belongs to the other order"
		}
		if why == "" {
			r.order = order
			r.fits = append(r.fits, names)
			namesErrno = namesErrno || len(want.Line.Words) > 0 && want.Line.Words[0] != "lib"
		}
		switch {
		case i > 0:
		case got.Verb != want.Line.Verb:
			r.short = difference + ", " + why
		default:
			r.short = why
		}
		difference += fmt.Sprintf("\nexpected %s (%s)", want.Text, why)
	}
	isError := got.Verb == "err"
	errno := ""
	if isError && len(got.Words) > 0 {
		errno = contract.ErrnoName(got.Words[0])
	}
	switch {
	case len(r.fits) > 0:
		// A library may also stop using a connection that the kernel has reported as lost.
		lost := slices.Contains([]string{"ECONNRESET", "EPIPE"}, strings.Join(got.Words, " "))
		r.refusal = isError && (!namesErrno || lost)
	case a.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system is full or read-only, or the file table is full. No scenario tests these errors.
		r.then, r.text = errCaseOver, "the runner's side answered "+contract.Quote(text)
	default:
		r.check, r.text, r.then = scenario.CheckAnswer, difference, errCaseOver
		r.nothingSent = isError || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	}
	return r
}

// orderOf returns the order of answers to which an alternative of a step belongs, or "" if it belongs to both.
func orderOf(st scenario.Step, want scenario.Answer) string {
	switch {
	case want.Swapped:
		return "swapped"
	case slices.ContainsFunc(st.Answers, func(w scenario.Answer) bool { return w.Swapped }):
		return "first"
	}
	return ""
}

// surplus returns why an answer of the runner is wrong if it reports a truncated message and no alternative of the step
// does. In a case with a peer, the runner receives with the capacity that the scenario specifies, so the peer has sent
// more than the scenario specifies.
func (a answer) surplus(got contract.Line) string {
	if a.peer.Name != scenario.RunnerName || a.setup.Case.A == a.setup.Case.B {
		return ""
	}
	for _, flag := range got.List("flags") {
		expected := slices.ContainsFunc(a.step.Answers, func(w scenario.Answer) bool {
			return slices.Contains(w.Line.List("flags"), flag)
		})
		if (flag == "ctrunc" || flag == "trunc") && !expected {
			return "more was sent: the kernel reports " + flag
		}
	}
	return ""
}

// hasBasicCommand reports whether the last command was to send or receive one descriptor with a few bytes. A peer must
// support such a command on every socket type that it lists in can=, a field of its answer to hello.
func (sd *side) hasBasicCommand() bool {
	c := sd.command
	if len(c.Fields) != 2 {
		return false
	}
	fd, err := strconv.Atoi(c.Fields["fds"])
	switch c.Verb {
	case "send":
		payload := c.Fields["payload"]
		_, held := sd.held[fd]
		return err == nil && held && len(payload) > 1 && !strings.ContainsAny(payload, "@,")
	case "recv":
		bytes, err := strconv.Atoi(c.Fields["bytes"])
		return err == nil && bytes > 0 && fd == 1
	}
	return false
}

// IsFailure reports whether an answer says that a call failed. A library may also have rejected a call to which its
// peer answers unsupported.
func IsFailure(answer string) bool {
	verb, _, _ := strings.Cut(answer, " ")
	return verb == "err" || verb == "unsupported"
}

// noteAnswer notes that a side has answered. After a failed call the library may close the socket at any time, if
// the peer's hello has closes=yes. The socket's descriptor may then refer to any file.
func (sd *side) noteAnswer(text string) {
	sd.pending = false
	if sd.peer.Hello.Closes && IsFailure(text) {
		sd.failed = true
		delete(sd.held, sd.socket)
	}
}

func (a answer) endsCase() bool {
	return a.peer.Hello.Closes && IsFailure(a.Said) || a.read().then != nil
}

// judgeInTurn judges an answer in its turn. If the answer does not match, and the other side has a command whose
// failure may have closed the connection, it first waits for that: a library may close its socket before its peer
// answers.
func (j *judge) judgeInTurn(a answer) {
	first := a.other.expected(a.other.asked) // before this step if this answer was taken out of turn
	if r := a.read(); r.formed && !r.matches && first.Line >= a.step.Line {
		if failure, ok := j.failure(a.other, a.step.Line); ok {
			j.noteUnjudged(a)
			a = failure
		}
	}
	j.judgeAnswer(a)
}

// noteUnjudged notes an answer that is not judged, because the case ended before it. The descriptors that the answer
// names do not count as leaks.
func (j *judge) noteUnjudged(a answer) {
	_, fds, err := contract.ParseAnswer(kernel.Vocabulary, a.command.Verb, a.Said)
	if err != nil && a.Said != "unsupported" {
		j.find(scenario.CheckContract, a.side, 0, "answered %s to %q", contract.Quote(a.Said), a.text)
		endCase(ErrPairOver)
	}
	a.noteAnswer(a.Said)
	j.track(a, fds)
}

// judgeAnswer judges an answer by its text and, if that is correct, by the descriptors of the process that gave it. It
// also ends the case if the library may have closed its socket.
func (j *judge) judgeAnswer(a answer) {
	a.noteAnswer(a.Said)
	r := a.read()
	j.track(a, r.fds)
	if r.nothingSent {
		j.probe(a.other, a.step.Line)
	}
	switch {
	case r.check != "":
		j.add(a.side, scenario.Finding{Check: r.check, Line: a.step.Line, Text: r.text, Short: r.short})
		endCase(r.then)
	case r.text != "":
		j.endNotRun("line %d: %s", a.step.Line, r.text)
	case r.then != nil:
		j.endUnsupported(a.side)
	}
	a.side.refused = a.refused || r.refusal
	a.side.order = cmp.Or(a.order, r.order)
	j.received(a, r)
	j.judgeHeld(a.side, a.step.Line)
	j.judgeStates(a.side, a.step.Line)
	if !a.peer.Hello.GC { // or its collector may close what is leaked before the end of the case
		j.judgeLeaks(a.side, a.Observation, a.step.Line)
	}
	if a.failed {
		endCase(errCaseOver)
	}
}

// processForm matches the symbolic name of a process, A or B, in a transcript.
var processForm = regexp.MustCompile(`\b(pid=|creds\()([AB])\b(\)?)`)

// FillInProcesses replaces A and B with their PIDs or, in credentials, PID, UID and GID.
func FillInProcesses(text string, owners [2]fact.Owner) (string, error) {
	var failed error
	text = processForm.ReplaceAllStringFunc(text, func(m string) string {
		parts := processForm.FindStringSubmatch(m)
		o := owners[slices.Index(roles, scenario.Role(parts[2][0]))]
		if parts[3] == "" {
			return parts[1] + strconv.Itoa(o.PID)
		}
		if o.Err != "" {
			failed = fmt.Errorf("%s", o.Err)
		}
		return fmt.Sprintf("creds(%d,%d,%d)", o.PID, o.UID, o.GID)
	})
	return text, failed
}

// abstract is the prefix of the name of an abstract socket. A transcript uses symbolic names, because all processes in
// a network namespace share the actual ones.
const abstract = "abstract:"

// forComparison returns an answer and the alternatives of its step in a form in which they can be compared. It changes
// nothing unless the runner itself takes this role in the scenario. It replaces the actual names of abstract sockets in
// the answer with the symbolic ones from the transcript. In the alternatives, it replaces the process names A and B
// with the actual IDs, and symbolic lengths with byte counts.
func (a answer) forComparison() (string, []scenario.Answer, error) {
	if !a.byRunner {
		return a.Said, a.step.Answers, nil
	}
	text := strings.ReplaceAll(a.Said, abstract+a.setup.Prefix, abstract)
	wants := slices.Clone(a.step.Answers)
	for i := range wants {
		fields := maps.Clone(wants[i].Line.Fields)
		for key, value := range fields {
			switch key {
			case "controllen":
				if n, ok := kernel.Size(value); ok { // otherwise it is *
					fields[key] = strconv.Itoa(n)
				}
			case "control", "creds", "pid":
				value, err := FillInProcesses(key+"="+value, a.Owners)
				if err != nil {
					return text, nil, err
				}
				fields[key] = strings.TrimPrefix(value, key+"=")
			}
		}
		wants[i].Line.Fields = fields
	}
	return text, wants, nil
}
