package judge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// acts maps the verb of a line of the runner's own (scenario.ActForms) to what its facts mean. The facts of a verb that
// it does not contain mean nothing about the peers.
var acts = map[string]func(acted) Request{
	"pos":     acted.offset,
	"flags":   acted.statusFlags,
	"pending": acted.queued,
	"blocked": acted.awake,
	"kill":    acted.signalled,
}

// acted is what the runner found when it carried out a line of its own.
type acted struct {
	*Judge
	side *side // that the line names
	step scenario.Step
	fact.Acted
}

// act returns the request for a line of the runner's own.
func (j *Judge) act(st scenario.Step) Request {
	do := Act{At: At{st.Act.Role, st}}
	sd := j.sides[st.Act.Role]
	switch st.Act.Verb {
	case "pos", "flags":
		var err error
		if do.FD, err = sd.descriptor(st.Act.Name); err != nil {
			return j.notRun("line %d: %v", st.Line, err)
		}
	case "blocked", "settled":
		if !sd.pending {
			return j.notRun("line %d: %s has no command to answer", st.Line, sd.peer.Name)
		}
	}
	return do
}

// acted judges what a line of the runner's own has found, or what the runner has found at the end of the case.
func (j *Judge) acted(f fact.Acted) Request {
	at := j.request.at()
	if f.Why != "" {
		return j.showsNothing(f.Verdict, "%s", f.Why)
	}
	if f.Held != nil {
		return j.heldOpen(*f.Held, at.Step.Line)
	}
	if judge := acts[at.Step.Act.Verb]; judge != nil {
		return judge(acted{j, j.sides[at.Role], at.Step, f})
	}
	return nil
}

// offset (pos ROLE NAME=OFFSET) adds a finding if the peer's descriptor is at a different offset.
func (a acted) offset() Request {
	act := a.step.Act
	if at := a.Descriptor.Info.Offset; at != act.Value {
		a.findState("%s is at offset %d, not %d", act.Name, at, act.Value)
	}
	return nil
}

// statusFlags (flags ROLE NAME=FLAGS) adds a finding if the peer's descriptor has different status flags.
func (a acted) statusFlags() Request {
	act := a.step.Act
	var want []string
	for _, flag := range []string{"append", "nonblock"} {
		if slices.Contains(strings.Split(act.Word, ","), flag) {
			want = append(want, "O_"+strings.ToUpper(flag))
		}
	}
	wanted, have := cmp.Or(strings.Join(want, "|"), "none"), cmp.Or(a.Descriptor.Info.Status, "none")
	if have != wanted {
		a.findState("%s has the status flags %s, not %s", act.Name, have, wanted)
	}
	return nil
}

// findState adds a finding about a file whose state differs from the scenario. The finding is about the peer that is
// known to have changed the file. If none is known, it is about the peer that the line names.
func (a acted) findState(format string, args ...any) {
	if by, ok := a.changedBy[a.step.Act.Name]; ok {
		a.findChange(by, a.step.Line, format, args...)
		return
	}
	a.find(scenario.CheckFile, a.side, a.step.Line, format, args...)
}

// queued (pending ROLE) adds a finding if the peer could receive a message.
func (a acted) queued() Request {
	if a.Found != "" {
		const text = "sent %s %s, and nothing should have been sent"
		a.find(scenario.CheckAnswer, a.side.other, a.step.Line, text, a.side.role, a.Found)
	}
	return nil
}

// awake (blocked ROLE) adds a finding if the peer has answered instead of waiting, unless the call of the other peer
// fails, and may have closed the connection.
func (a acted) awake() Request {
	if a.Found == "" {
		return nil
	}
	found := func(fact.Missing, int) Request {
		a.find(scenario.CheckAnswer, a.side, a.step.Line, "%s", a.Found)
		return sessionOver
	}
	other := a.side.other
	next, expected := other.expected(a.step.Line)
	if !expected || !other.peer.Hello.Closes {
		return found(fact.Missing{}, 0)
	}
	return a.await(AwaitFailure{At{other.role, next}}, a.taken, found)
}

// signalled (kill ROLE SIGNAL) takes note of a process that the runner has killed.
func (a acted) signalled() Request {
	switch {
	case a.Found != "":
		a.find(scenario.CheckHang, a.side, a.step.Line, "%s", a.Found)
		return sessionOver
	case a.step.Act.Word == "SIGKILL":
		a.side.pending, a.side.killed, a.spent = false, true, true
	}
	return nil
}

// heldOpen (eof NAME, and at the end of the case) adds a finding about the peer that keeps a file open without a
// descriptor. That peer is not necessarily at fault, because the other peer can have sent the file to a socket that is
// never read. The runner has ended the peer to find out.
func (l *ledger) heldOpen(held fact.Held, line int) Request {
	text := "%s is still open somewhere"
	if line == 0 {
		text += " after the end of the case"
	}
	sd := l.sides[cmp.Or(held.Until, scenario.RoleB)]
	l.find(scenario.CheckLeak, sd, line, text, held.File.Name).Ambiguous = true
	return sessionOver
}
