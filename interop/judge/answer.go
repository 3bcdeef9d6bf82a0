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

// An answer says what the text of an answer is, and what is wrong with it. The text is correct if check, notRun and
// unsupported all have their zero values.
type answer struct {
	fds         []int          // the descriptors that it names, even if it is wrong
	matches     bool           // it matches an alternative of the step, or the two cannot be compared
	formed      bool           // it has the form that the contract requires
	fits        [][]string     // for each alternative that it matches, the names for fds
	order       string         // of the side's answers, if only some alternatives of the step are Swapped
	refusal     bool           // the library has rejected an operation and may no longer use the connection
	nothingSent bool           // nothing was transferred: the other library may no longer use the connection
	check       scenario.Check // what is wrong
	text        string         // of the finding
	ends        What           // EndCase, or EndSession if no later answer can be trusted
	unsupported bool
	notRun      string // why it says nothing about the peers
}

// read judges an answer by its text alone.
func (j *Judge) read(sd *side, f fact.Fact) (a answer) {
	switch {
	case f.Said == "unsupported" && sd.hasBasicCommand() && !sd.refused:
		text := fmt.Sprintf("answered unsupported to %q, which its can= offers", sd.text)
		return answer{formed: true, check: scenario.CheckContract, text: text, ends: EndCase}
	case f.Said == "unsupported":
		return answer{formed: true, unsupported: true}
	}
	text, wants, wantsErr := j.forComparison(sd, f)
	got, fds, err := contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, text)
	switch {
	case err != nil:
		return answer{fds: fds, check: scenario.CheckContract, text: err.Error(), ends: EndSession}
	case wantsErr != nil:
		return answer{fds: fds, formed: true, matches: true, notRun: wantsErr.Error()}
	}
	a.fds, a.formed = fds, true
	namesErrno := false
	difference := "answered " + contract.Quote(text)
	for _, want := range wants {
		names, why := want.Match(got)
		if why == "" {
			a.matches = true
			why = j.surplus(sd, f.Step, got)
		}
		order := orderOf(f.Step, want)
		if why == "" && order != "" && sd.order != "" && order != sd.order {
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
	case sd.byRunner && slices.Contains([]string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}, errno):
		// The file system is full or read-only, or the file table is full. No scenario tests these errors.
		a.notRun = "the runner's side answered " + contract.Quote(text)
	default:
		a.check = scenario.CheckAnswer
		a.text = difference
		a.ends = EndCase
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
func (j *Judge) surplus(sd *side, st scenario.Step, got contract.Line) string {
	if sd.peer.Name != scenario.RunnerName || j.Case.A == j.Case.B {
		return ""
	}
	for _, flag := range got.List("flags") {
		expected := slices.ContainsFunc(st.Answers, func(w scenario.Answer) bool {
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

// IsFailure reports whether an answer says that a call failed. A library may also have rejected a call to which its peer
// answers unsupported.
func IsFailure(answer string) bool {
	verb, _, _ := strings.Cut(answer, " ")
	return verb == "err" || verb == "unsupported"
}

// noteAnswer takes note that a side has answered. After a failed call the library may close the socket at any time, if the
// peer's hello has closes=yes. The socket's descriptor may then refer to any file.
func (sd *side) noteAnswer(text string) {
	sd.pending = false
	if sd.peer.Hello.Closes && IsFailure(text) {
		sd.failed = true
		delete(sd.held, sd.socket)
	}
}

// EndsCase reports whether the text of an answer that the runner has not read yet ends the case, because it is not correct
// or because the library may close its socket.
func (j *Judge) EndsCase(f fact.Fact) bool {
	sd := j.sides[f.Side]
	a := j.read(sd, f)
	return sd.peer.Hello.Closes && IsFailure(f.Said) || a.unsupported || a.notRun != "" || a.check != ""
}

// mayBeExcused returns a request to wait if the answer does not match, and the other side has a command whose failure may
// have closed the connection. Its library may close the socket before its peer answers.
func (j *Judge) mayBeExcused(sd *side, f fact.Fact) (do Do, wait bool) {
	next, expected := j.Expected(sd.other.role, f.Step.Line)
	if !expected || !sd.other.peer.Hello.Closes {
		return do, false
	}
	if first, _ := j.Expected(sd.other.role, sd.other.asked); first.Line < f.Step.Line {
		return do, false // this answer was taken out of turn, because of the other side's
	}
	if a := j.read(sd, f); a.matches || !a.formed {
		return do, false
	}
	j.suspended = &suspended{f, Await}
	return Do{What: Await, Role: sd.other.role, Step: next}, true
}

// awaited judges the fact that was suspended until the other side has answered, or sleeps.
func (j *Judge) awaited(before, f fact.Fact) Do {
	sd := j.sides[before.Side]
	switch f.Kind {
	case fact.Unasked:
		return j.answered(sd, before)
	case fact.Answered:
		j.aside(sd, before)
		return j.answered(sd.other, f)
	}
	j.aside(sd, before)
	return j.noAnswer(sd.other, f)
}

// aside takes note of an answer that is not judged, because the case ended before it. The descriptors that the answer
// names do not count as leaks.
func (j *Judge) aside(sd *side, f fact.Fact) Do {
	_, fds, err := contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, f.Said)
	if err != nil && f.Said != "unsupported" {
		j.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(f.Said), sd.text)
		return Do{What: EndSession}
	}
	sd.noteAnswer(f.Said)
	j.track(sd, f, fds)
	return Do{}
}

// answered judges an answer by its text and then by the descriptors of the process that gave it.
func (j *Judge) answered(sd *side, f fact.Fact) Do {
	sd.noteAnswer(f.Said)
	a := j.read(sd, f)
	j.track(sd, f, a.fds)
	if do, ask := j.probe(sd.other, f.Step.Line); ask && a.nothingSent {
		j.suspended = &suspended{f, Ask}
		return do
	}
	return j.conclude(sd, f, a)
}

// conclude ends the case if the text of the answer is wrong, and otherwise judges the descriptors of the process. It also
// ends the case if the library may have closed its socket.
func (j *Judge) conclude(sd *side, f fact.Fact, a answer) Do {
	switch {
	case a.unsupported:
		return unsupported(sd)
	case a.notRun != "":
		return notRun("line %d: %s", f.Step.Line, a.notRun)
	case a.check != "":
		j.find(a.check, sd, f.Step.Line, "%s", a.text)
		return Do{What: a.ends}
	}
	sd.refused = sd.refused || a.refusal
	sd.order = cmp.Or(sd.order, a.order)
	do := j.received(sd, f, a)
	if do.What == GoOn {
		do = j.inspect(sd, f, true)
	}
	if do.What == GoOn && sd.failed {
		do.What = EndCase
	}
	return do
}

// Named returns the descriptors that the answer to a side's command names, and those of them that it did not have before.
func (j *Judge) Named(role scenario.Role, text string) (fds, fresh []int) {
	sd := j.sides[role]
	_, fds, _ = contract.ParseAnswer(kernel.Vocabulary, sd.command.Verb, text)
	for _, fd := range fds {
		if _, held := sd.held[fd]; !held {
			fresh = append(fresh, fd)
		}
	}
	return fds, fresh
}

// processForm matches the symbolic name of a process, A or B, in a transcript.
var processForm = regexp.MustCompile(`\b(pid=|creds\()([AB])\b(\)?)`)

// FillInProcesses replaces A and B with their PIDs or, in credentials, PID, UID and GID. It calls owner for each.
func FillInProcesses(text string, owner func(scenario.Role) fact.Owner) (string, error) {
	var failed error
	text = processForm.ReplaceAllStringFunc(text, func(m string) string {
		parts := processForm.FindStringSubmatch(m)
		o := owner(scenario.Role(parts[2][0]))
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

// NamesProcesses reports whether a step expects an answer that names a process.
func NamesProcesses(st scenario.Step) bool {
	return slices.ContainsFunc(st.Answers, func(a scenario.Answer) bool { return processForm.MatchString(a.Text) })
}

// Abstract is the prefix of the name of an abstract socket. A transcript uses symbolic names, because all processes in a
// network namespace share the actual ones.
const Abstract = "abstract:"

// forComparison returns an answer and the alternatives of its step in a form in which they can be compared. It changes
// nothing unless the runner itself takes this role in the scenario. It replaces the actual names of abstract sockets in
// the answer with the symbolic ones from the transcript. In the alternatives, it replaces the process names A and B with
// the actual IDs, and symbolic lengths with byte counts.
func (j *Judge) forComparison(sd *side, f fact.Fact) (string, []scenario.Answer, error) {
	if !sd.byRunner {
		return f.Said, f.Step.Answers, nil
	}
	text := strings.ReplaceAll(f.Said, Abstract+j.Prefix, Abstract)
	wants := slices.Clone(f.Step.Answers)
	owner := func(role scenario.Role) fact.Owner { return f.Owners[slices.Index(roles, role)] }
	for i := range wants {
		fields := maps.Clone(wants[i].Line.Fields)
		for key, value := range fields {
			switch key {
			case "controllen":
				if n, ok := kernel.Size(value); ok { // otherwise it is *
					fields[key] = strconv.Itoa(n)
				}
			case "control", "creds", "pid":
				value, err := FillInProcesses(key+"="+value, owner)
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
