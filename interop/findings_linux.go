package interop

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// find adds a finding about the peer on this side.
func (cr *caseRun) find(check scenario.Check, sd *side, line int, format string, args ...any) {
	cr.add(scenario.Finding{Check: check, Peer: sd.Peer.Name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (cr *caseRun) add(f scenario.Finding) {
	cr.facts.finding(fmt.Sprintf("%s: %s", f.Check, f.Text))
	if !slices.Contains(cr.result.Findings, f) {
		cr.result.Findings = append(cr.result.Findings, f)
	}
}

// findChange adds a finding about a changed file.
func (cr *caseRun) findChange(by suspect, line int, format string, args ...any) {
	cr.add(scenario.Finding{
		Check:     scenario.CheckFile,
		Peer:      by.Peer.Name,
		Line:      line,
		Text:      fmt.Sprintf(format, args...),
		Own:       by.sure,
		Ambiguous: !by.sure,
	})
}

// maxListed is how many findings of one kind are listed one by one for the same answer.
const maxListed = 3

// fileFindings adds the findings about the descriptors of one answer, and only counts those
// after the first few.
type fileFindings struct {
	*caseRun
	side  *side
	line  int
	count int
}

func (f *fileFindings) find(format string, args ...any) {
	f.count++
	if f.count <= maxListed {
		f.caseRun.find(scenario.CheckFile, f.side, f.line, format, args...)
	}
}

func (f *fileFindings) summarize() {
	if f.count > maxListed {
		f.caseRun.find(scenario.CheckFile, f.side, f.line,
			"%d more descriptors are not what the answer says", f.count-maxListed)
	}
}

// notRun ends a case that the runner could not run.
func (cr *caseRun) notRun(format string, args ...any) error {
	cr.result.Verdict = scenario.NotRun
	cr.result.Why = fmt.Sprintf(format, args...)
	return errCaseOver
}

// unsupported ends a case that the peer has no interface for.
func (cr *caseRun) unsupported(sd *side) error {
	cr.result.Verdict = scenario.Unsupported
	cr.result.Why = sd.Peer.Name + ": answered unsupported"
	return errCaseOver
}

// cannotLook ends a case in which the runner may not see which descriptors a peer has open.
func (cr *caseRun) cannotLook(sd *side, err error) error {
	return cr.notRun("cannot see which descriptors %s has open: %v", sd.Peer.Name, err)
}

// noAnswer ends the session of a peer that gave no answer, and adds a finding unless the
// runner itself is the reason.
func (cr *caseRun) noAnswer(sd *side, line int, err error) error {
	var contract *process.ContractError
	switch {
	case errors.Is(err, process.ErrCut), cr.ctx.Err() != nil: // the runner itself may have killed it
		return process.ErrCut
	case errors.Is(err, process.ErrLong):
		_ = cr.notRun("line %d: the command to %s is %v with its descriptors filled in", line, sd.Peer.Name, err)
	case errors.As(err, &contract) && sd.byRunner:
		_ = cr.notRun("line %d: the answer of %s is %.80s", line, sd.Peer.Name, err)
	case errors.As(err, &contract):
		cr.note(fmt.Sprintf("%s< %s", sd.role, contract.Text))
		cr.find(scenario.CheckContract, sd, line, "%v", err)
	case errors.Is(err, process.ErrHang) && slices.Contains(sd.signals, unix.SIGSTOP):
		_ = cr.notRun("%s: stopped by the runner's own SIGSTOP", sd.Peer.Name)
	case errors.Is(err, process.ErrHang):
		cr.facts.ended(sd, "no answer")
		cr.find(scenario.CheckHang, sd, line, "%v", sd.Explain(err))
	case slices.ContainsFunc(sd.signals, sd.EndedBy):
		_ = cr.notRun("%s: ended by the runner's own signal: %v", sd.Peer.Name, sd.Close())
	default:
		cr.facts.ended(sd, "no answer: the process ended")
		cr.find(scenario.CheckCrash, sd, line, "%v", sd.Explain(err))
	}
	return errSessionOver
}

// flagNames returns the names that open(2) gives to status flags.
func flagNames(flags int) string {
	names := ""
	for _, f := range []struct {
		flag int
		name string
	}{
		{unix.O_APPEND, "O_APPEND"},
		{unix.O_ASYNC, "O_ASYNC"},
		{unix.O_DIRECT, "O_DIRECT"},
		{unix.O_NOATIME, "O_NOATIME"},
		{unix.O_NONBLOCK, "O_NONBLOCK"},
	} {
		if flags&f.flag != 0 {
			names += "|" + f.name
			flags &^= f.flag
		}
	}
	if flags != 0 {
		names += fmt.Sprintf("|%#x", flags)
	}
	return strings.TrimPrefix(cmp.Or(names, "none"), "|")
}
