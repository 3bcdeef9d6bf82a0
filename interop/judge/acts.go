package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

// act carries out a line of the runner's own (scenario.ActForms), and judges what the runner has found. What it finds
// for a verb that is not below says nothing about the peers.
func (j *judge) act(st scenario.Step) {
	do := Act{At: At{st.Act.Role, st}}
	sd := j.sides[st.Act.Role]
	switch st.Act.Verb {
	case "pos", "flags":
		var err error
		if do.FD, err = sd.descriptor(st.Act.Name); err != nil {
			j.endNotRun("line %d: %v", st.Line, err)
		}
	case "blocked", "settled":
		if !sd.pending {
			j.endNotRun("line %d: %s has no command to answer", st.Line, sd.peer.Name)
		}
	}
	f := j.carryOut(do)
	switch st.Act.Verb {
	case "pos":
		if at := f.Descriptor.Info.Offset; at != st.Act.Value {
			j.findState(sd, st, "%s is at offset %d, not %d", st.Act.Name, at, st.Act.Value)
		}
	case "flags":
		want, have := statusFlags(st.Act.Word), cmp.Or(f.Descriptor.Info.Status, "none")
		if have != want {
			j.findState(sd, st, "%s has the status flags %s, not %s", st.Act.Name, have, want)
		}
	case "pending":
		if f.Saw != "" {
			const text = "sent %s %s, and nothing should have been sent"
			j.find(scenario.CheckAnswer, sd.other, st.Line, text, sd.role, f.Saw)
		}
	case "blocked":
		if f.Saw != "" {
			j.judgeEarly(sd, st, f.Saw)
		}
	case "kill":
		if f.Saw != "" {
			j.find(scenario.CheckHang, sd, st.Line, "%s", f.Saw)
			endCase(ErrPairOver)
		}
		if st.Act.Word == "SIGKILL" {
			sd.pending, sd.killed, j.spent = false, true, true
		}
	}
}

// judgeEarly judges a side that has answered a command although it should wait. It does not return.
func (j *judge) judgeEarly(sd *side, st scenario.Step, saw string) {
	step := sd.expected(st.Line)
	if step.Line == 0 {
		step = st // the runner is going to kill it
	}
	e := j.await(Await{At: At{sd.role, step}})
	if e.missing != nil {
		j.endPair(*e.missing, st.Line)
	}
	if e.answer.Said == "unsupported" {
		j.judgeInTurn(e)
	}
	j.noteUnjudged(e)
	if failure, ok := j.failure(sd.other, st.Line); ok {
		j.judgeInTurn(failure)
	}
	j.find(scenario.CheckAnswer, sd, st.Line, "%s", saw)
	endCase(ErrPairOver)
}

// carryOut has the runner carry out what needs no answer of a peer.
func (j *judge) carryOut(do Request) fact.Acted {
	f := j.do(do).(fact.Acted)
	j.judgeActed(f, do.at().Step.Line)
	return f
}

// judgeActed ends the case if the runner could not carry out a line (0 at the end of the case), and the pair if it has
// found a file that is still open. That adds a finding about the peer that keeps the file open without a descriptor.
// That peer is not necessarily at fault, because the other peer can have sent the file to a socket that is never read.
// To find this out, the runner has ended the peer.
func (j *judge) judgeActed(f fact.Acted, line int) {
	if f.Why != "" {
		j.showsNothing(f.Verdict, "%s", f.Why)
		endCase(errCaseOver)
	}
	if f.StillOpen != nil {
		text := "%s is still open %s"
		if line == 0 {
			text += " after the end of the case"
		}
		sd := j.sides[cmp.Or(f.StillOpen.Until, scenario.RoleB)]
		text = fmt.Sprintf(text, f.StillOpen.File.Name, f.StillOpen.Where)
		j.add(sd, scenario.Finding{Check: scenario.CheckLeak, Line: line, Text: text, Ambiguous: true})
		endCase(ErrPairOver)
	}
}

// statusFlags returns the names of the flags that a line "flags ROLE NAME=FLAGS" expects.
func statusFlags(word string) string {
	var want []string
	for _, flag := range []string{"append", "nonblock"} {
		if slices.Contains(strings.Split(word, ","), flag) {
			want = append(want, "O_"+strings.ToUpper(flag))
		}
	}
	return cmp.Or(strings.Join(want, "|"), "none")
}

// findState adds a finding about a file whose state differs from the scenario. The finding is about the peer that is
// known to have changed the file or, if that is not known, about the peer that the line names.
func (j *judge) findState(sd *side, st scenario.Step, format string, args ...any) {
	if by, ok := j.changedBy[st.Act.Name]; ok {
		j.findChange(by, st.Line, format, args...)
		return
	}
	j.find(scenario.CheckFile, sd, st.Line, format, args...)
}
