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

// evidence is what a side is judged by at a step: its answer, and what has changed with it.
type evidence struct {
	side    *side
	step    scenario.Step
	answer  fact.Answer
	seen    fact.Observation
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
func (e evidence) read() (r reading) {
	switch {
	case e.answer.Said == "unsupported" && e.side.hasBasicCommand() && !e.side.refused:
		text := fmt.Sprintf("answered unsupported to %q, which a peer must support on each socket type in its can=, "+
			"with a call of its own if its library has none", e.side.text)
		return reading{formed: true, check: scenario.CheckContract, text: text, then: errCaseOver}
	case e.answer.Said == "unsupported":
		return reading{formed: true, then: errCaseOver}
	}
	text, wants, wantsErr := e.forComparison()
	got, fds, err := contract.ParseAnswer(kernel.Vocabulary, e.side.command.Verb, text)
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
			why = e.surplus(got)
		}
		order := orderOf(e.step, want)
		if why == "" && order != "" && e.side.order != "" && order != e.side.order {
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
	case e.side.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system is full or read-only, or the file table is full. No scenario tests these errors.
		r.then, r.text = errCaseOver, "the runner's side answered "+contract.Quote(text)
	default:
		r.check, r.text, r.then = scenario.CheckAnswer, difference, errCaseOver
		r.nothingSent = isError || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	}
	return r
}

// orderOf returns the order of answers to which an alternative of a step belongs, or "" if it belongs to both.
func orderOf(st scenario.Step, want scenario.Alternative) string {
	switch {
	case want.Swapped:
		return "swapped"
	case slices.ContainsFunc(st.Alternatives, func(w scenario.Alternative) bool { return w.Swapped }):
		return "first"
	}
	return ""
}

// surplus returns why an answer of the runner is wrong if it reports a truncated message and no alternative of the step
// does. In a case with a peer, the runner receives with the capacity that the scenario specifies, so the peer has sent
// more than the scenario specifies.
func (e evidence) surplus(got contract.Line) string {
	if e.side.peer.Name != scenario.RunnerName || e.side.setup.Case.A == e.side.setup.Case.B {
		return ""
	}
	for _, flag := range got.List("flags") {
		expected := slices.ContainsFunc(e.step.Alternatives, func(w scenario.Alternative) bool {
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

func (e evidence) endsCase() bool {
	return e.side.peer.Hello.Closes && IsFailure(e.answer.Said) || e.read().then != nil
}

// judgeInTurn judges an answer in its turn. If the answer does not match, and the other side has a command whose
// failure may have closed the connection, it first waits for that: a library may close its socket before its peer
// answers.
func (j *judge) judgeInTurn(e evidence) {
	first := e.side.other.expected(e.side.other.asked) // before this step if this answer was taken out of turn
	if r := e.read(); r.formed && !r.matches && first.Line >= e.step.Line {
		if failure, ok := j.failure(e.side.other, e.step.Line); ok {
			j.noteUnjudged(e)
			e = failure
		}
	}
	j.judgeAnswer(e)
}

// noteUnjudged notes an answer that is not judged, because the case ended before it. The descriptors that the answer
// names do not count as leaks.
func (j *judge) noteUnjudged(e evidence) {
	_, fds, err := contract.ParseAnswer(kernel.Vocabulary, e.side.command.Verb, e.answer.Said)
	if err != nil && e.answer.Said != "unsupported" {
		j.find(scenario.CheckContract, e.side, 0, "answered %s to %q", contract.Quote(e.answer.Said), e.side.text)
		endCase(ErrPairOver)
	}
	e.side.noteAnswer(e.answer.Said)
	j.track(e, fds)
}

// judgeAnswer judges an answer by its text and, if that is correct, by the descriptors of the process that gave it. It
// also ends the case if the library may have closed its socket.
func (j *judge) judgeAnswer(e evidence) {
	e.side.noteAnswer(e.answer.Said)
	r := e.read()
	j.track(e, r.fds)
	if r.nothingSent {
		j.probe(e.side.other, e.step.Line)
	}
	switch {
	case r.check != "":
		j.add(e.side, scenario.Finding{Check: r.check, Line: e.step.Line, Text: r.text, Short: r.short})
		endCase(r.then)
	case r.text != "":
		j.endNotRun("line %d: %s", e.step.Line, r.text)
	case r.then != nil:
		j.endUnsupported(e.side)
	}
	e.side.refused = e.side.refused || r.refusal
	e.side.order = cmp.Or(e.side.order, r.order)
	j.received(e, r)
	j.judgeHeld(e.side, e.step.Line)
	j.judgeStates(e.side, e.step.Line)
	if !e.side.peer.Hello.GC { // or its collector may close what is leaked before the end of the case
		j.judgeLeaks(e.side, e.seen, e.step.Line)
	}
	if e.side.failed {
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
func (e evidence) forComparison() (string, []scenario.Alternative, error) {
	if !e.side.byRunner {
		return e.answer.Said, e.step.Alternatives, nil
	}
	text := strings.ReplaceAll(e.answer.Said, abstract+e.side.setup.Prefix, abstract)
	wants := slices.Clone(e.step.Alternatives)
	for i := range wants {
		fields := maps.Clone(wants[i].Line.Fields)
		for key, value := range fields {
			switch key {
			case "controllen":
				if n, ok := kernel.Size(value); ok { // otherwise it is *
					fields[key] = strconv.Itoa(n)
				}
			case "control", "creds", "pid":
				value, err := FillInProcesses(key+"="+value, e.answer.Owners)
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
