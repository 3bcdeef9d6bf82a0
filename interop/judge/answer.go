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

// An answer says what the text of an answer is, and what is wrong with it. The text is correct if ends is nil.
type answer struct {
	fds         []int          // the descriptors that it names, even if it is wrong
	matches     bool           // it matches an alternative of the step, or the two cannot be compared
	formed      bool           // it has the form that the contract requires
	fits        [][]string     // for each alternative that it matches, the names for fds
	order       string         // of the side's answers, if only some alternatives of the step are Swapped
	refusal     bool           // the library has rejected an operation and may no longer use the connection
	nothingSent bool           // nothing was transferred: the other library may no longer use the connection
	ends        Request        // nil, caseOver, or sessionOver if no later answer can be trusted
	check       scenario.Check // what is wrong; "" if the answer says nothing about the peers
	text        string         // of the finding, or why it says nothing
}

// read judges an answer by its text alone.
func (h heard) read() (a answer) {
	switch {
	case h.Said == "unsupported" && h.hasBasicCommand() && !h.refused:
		text := fmt.Sprintf("answered unsupported to %q, which its can= offers", h.text)
		return answer{formed: true, check: scenario.CheckContract, text: text, ends: caseOver}
	case h.Said == "unsupported":
		return answer{formed: true, ends: caseOver}
	}
	text, wants, wantsErr := h.forComparison()
	got, fds, err := contract.ParseAnswer(kernel.Vocabulary, h.command.Verb, text)
	switch {
	case err != nil:
		return answer{fds: fds, check: scenario.CheckContract, text: err.Error(), ends: sessionOver}
	case wantsErr != nil:
		return answer{fds: fds, formed: true, matches: true, ends: caseOver, text: wantsErr.Error()}
	}
	a.fds, a.formed = fds, true
	namesErrno := false
	difference := "answered " + contract.Quote(text)
	for _, want := range wants {
		names, why := want.Match(got)
		if why == "" {
			a.matches = true
			why = h.surplus(got)
		}
		order := orderOf(h.step, want)
		if why == "" && order != "" && h.order != "" && order != h.order {
			why = "an earlier answer belongs to the other order"
		}
		if why == "" {
			a.order = order
			a.fits = append(a.fits, names)
			namesErrno = namesErrno || len(want.Line.Words) > 0 && want.Line.Words[0] != "lib"
		}
		difference += fmt.Sprintf("\nexpected %s (%s)", want.Text, why)
	}
	isError := got.Verb == "err"
	errno := ""
	if isError && len(got.Words) > 0 {
		errno = contract.ErrnoName(got.Words[0])
	}
	switch {
	case len(a.fits) > 0:
		// A library may also stop using a connection that the kernel has reported as lost.
		lost := slices.Contains([]string{"ECONNRESET", "EPIPE"}, strings.Join(got.Words, " "))
		a.refusal = isError && (!namesErrno || lost)
	case h.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system is full or read-only, or the file table is full. No scenario tests these errors.
		a.ends, a.text = caseOver, "the runner's side answered "+contract.Quote(text)
	default:
		a.check, a.text, a.ends = scenario.CheckAnswer, difference, caseOver
		a.nothingSent = isError || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	}
	return a
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
func (h heard) surplus(got contract.Line) string {
	if h.peer.Name != scenario.RunnerName || h.setup.Case.A == h.setup.Case.B {
		return ""
	}
	for _, flag := range got.List("flags") {
		expected := slices.ContainsFunc(h.step.Answers, func(w scenario.Answer) bool {
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
	if len(c.Words) > 0 || len(c.Fields) != 2 {
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

// noteAnswer takes note that a side has answered. After a failed call the library may close the socket at any time, if
// the peer's hello has closes=yes. The socket's descriptor may then refer to any file.
func (sd *side) noteAnswer(text string) {
	sd.pending = false
	if sd.peer.Hello.Closes && IsFailure(text) {
		sd.failed = true
		delete(sd.held, sd.socket)
	}
}

func (h heard) endsCase() bool {
	return h.peer.Hello.Closes && IsFailure(h.Said) || h.read().ends != nil
}

// taken judges an answer in its turn. If the answer does not match, and the other side has a command whose failure may
// have closed the connection, taken first waits for that: a library may close its socket before its peer answers.
func (j *Judge) taken(h heard) Request {
	next, expected := h.other.expected(h.step.Line)
	if !expected || !h.other.peer.Hello.Closes {
		return j.judgeAnswer(h)
	}
	if first, _ := h.other.expected(h.other.asked); first.Line < h.step.Line {
		return j.judgeAnswer(h) // this answer was taken out of turn, because of the other side's
	}
	if a := h.read(); a.matches || !a.formed {
		return j.judgeAnswer(h)
	}
	return j.await(AwaitFailure{At{h.other.role, next}}, func(failure heard) Request {
		j.aside(h)
		return j.judgeAnswer(failure)
	}, func(fact.Missing, int) Request { return j.judgeAnswer(h) })
}

// aside takes note of an answer that is not judged, because the case ended before it. The descriptors that the answer
// names do not count as leaks.
func (j *Judge) aside(h heard) Request {
	_, fds, err := contract.ParseAnswer(kernel.Vocabulary, h.command.Verb, h.Said)
	if err != nil && h.Said != "unsupported" {
		j.find(scenario.CheckContract, h.side, 0, "answered %s to %q", contract.Quote(h.Said), h.text)
		return sessionOver
	}
	h.noteAnswer(h.Said)
	j.track(h, fds)
	return nil
}

// judgeAnswer judges an answer by its text and then by the descriptors of the process that gave it.
func (j *Judge) judgeAnswer(h heard) Request {
	h.noteAnswer(h.Said)
	a := h.read()
	j.track(h, a.fds)
	if a.nothingSent {
		return j.probe(h.other, h.step.Line, func() Request { return j.conclude(h, a) })
	}
	return j.conclude(h, a)
}

// conclude ends the case if the text of the answer is wrong, and otherwise judges the descriptors of the process. It
// also ends the case if the library may have closed its socket.
func (j *Judge) conclude(h heard, a answer) Request {
	switch {
	case a.check != "":
		j.find(a.check, h.side, h.step.Line, "%s", a.text)
		return a.ends
	case a.text != "":
		return j.notRun("line %d: %s", h.step.Line, a.text)
	case a.ends != nil:
		return j.unsupported(h.side)
	}
	h.side.refused = h.refused || a.refusal
	h.side.order = cmp.Or(h.order, a.order)
	do := j.received(h, a)
	if do == nil {
		do = j.inspect(h.side, h.Observation, h.step.Line, true)
	}
	if do == nil && h.failed {
		do = caseOver
	}
	return do
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
func (h heard) forComparison() (string, []scenario.Answer, error) {
	if !h.byRunner {
		return h.Said, h.step.Answers, nil
	}
	text := strings.ReplaceAll(h.Said, abstract+h.setup.Prefix, abstract)
	wants := slices.Clone(h.step.Answers)
	for i := range wants {
		fields := maps.Clone(wants[i].Line.Fields)
		for key, value := range fields {
			switch key {
			case "controllen":
				if n, ok := kernel.Size(value); ok { // otherwise it is *
					fields[key] = strconv.Itoa(n)
				}
			case "control", "creds", "pid":
				value, err := FillInProcesses(key+"="+value, h.Owners)
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
