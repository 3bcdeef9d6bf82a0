package judge

import (
	"cmp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// acts maps the verb of a line of the runner's own (scenario.ActForms) to what its facts mean. The facts of a verb that it
// does not contain mean nothing about the peers.
var acts = map[string]func(*Judge, *side, fact.Fact) Do{
	"pos":     (*Judge).offset,
	"flags":   (*Judge).statusFlags,
	"pending": (*Judge).queued,
	"blocked": (*Judge).awake,
	"kill":    (*Judge).signalled,
}

// acted judges what a line of the runner's own has found, or what the runner has found at the end of the case.
func (j *Judge) acted(f fact.Fact) Do {
	if len(f.Held) > 0 {
		return j.heldOpen(f)
	}
	if judge := acts[f.Step.Act.Verb]; judge != nil {
		return judge(j, j.sides[f.Step.Act.Role], f)
	}
	return Do{}
}

// offset (pos ROLE NAME=OFFSET) adds a finding if the peer's descriptor is at a different offset.
func (j *Judge) offset(sd *side, f fact.Fact) Do {
	act := f.Step.Act
	if at := f.Descriptors[0].Info.Offset; at != act.Value {
		j.findState(sd, f.Step, "%s is at offset %d, not %d", act.Name, at, act.Value)
	}
	return Do{}
}

// statusFlags (flags ROLE NAME=FLAGS) adds a finding if the peer's descriptor has different status flags.
func (j *Judge) statusFlags(sd *side, f fact.Fact) Do {
	act := f.Step.Act
	var want []string
	for _, flag := range []string{"append", "nonblock"} {
		if slices.Contains(strings.Split(act.Word, ","), flag) {
			want = append(want, "O_"+strings.ToUpper(flag))
		}
	}
	wanted, have := cmp.Or(strings.Join(want, "|"), "none"), cmp.Or(f.Descriptors[0].Info.Status, "none")
	if have != wanted {
		j.findState(sd, f.Step, "%s has the status flags %s, not %s", act.Name, have, wanted)
	}
	return Do{}
}

// findState adds a finding about a file whose state differs from the scenario. The finding is about the peer that is known
// to have changed the file. If none is known, it is about the peer that the line names.
func (j *Judge) findState(sd *side, st scenario.Step, format string, args ...any) {
	if by, ok := j.changedBy[st.Act.Name]; ok {
		j.findChange(by, st.Line, format, args...)
		return
	}
	j.find(scenario.CheckFile, sd, st.Line, format, args...)
}

// queued (pending ROLE) adds a finding if the peer could receive a message.
func (j *Judge) queued(sd *side, f fact.Fact) Do {
	if f.Found != "" {
		j.find(scenario.CheckAnswer, sd.other, f.Step.Line, "sent %s %s, and nothing should have been sent", sd.role, f.Found)
	}
	return Do{}
}

// awake (blocked ROLE) adds a finding if the peer has answered instead of waiting.
func (j *Judge) awake(sd *side, f fact.Fact) Do {
	if f.Found == "" {
		return Do{}
	}
	j.find(scenario.CheckAnswer, sd, f.Step.Line, "%s", f.Found)
	return Do{What: EndSession}
}

// signalled (kill ROLE SIGNAL) takes note of a process that the runner has killed.
func (j *Judge) signalled(sd *side, f fact.Fact) Do {
	if f.Step.Act.Word == "SIGKILL" {
		sd.pending, sd.killed, j.spent = false, true, true
	}
	return Do{}
}

// heldOpen (eof NAME, and at the end of the case) adds a finding about the peer that keeps a file open without a
// descriptor. That peer is not necessarily at fault, because the other peer can have sent the file to a socket that is
// never read. The runner has ended the peer to find out.
func (j *Judge) heldOpen(f fact.Fact) Do {
	text := " is still open somewhere"
	if f.Step.Line == 0 {
		text += " after the end of the case"
	}
	held := f.Held[0]
	j.found = append(j.found, scenario.Finding{
		Check:     scenario.CheckLeak,
		Peer:      j.Case.Peer(cmp.Or(held.Until, scenario.RoleB)).Name,
		Line:      f.Step.Line,
		Text:      held.File.Name + text,
		Ambiguous: true,
	})
	return Do{What: EndSession}
}
