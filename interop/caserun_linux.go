package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// runCase runs one case with the processes of its two peers. If it returns an error, the two
// processes cannot run further cases.
func runCase(env environment, files *caseFiles, peers map[scenario.Role]*peerProcess) (scenario.Result, error) {
	cr := &caseRun{
		environment: env,
		caseFiles:   files,
		sides:       map[scenario.Role]*side{},
		states:      files.initial,
		changedBy:   map[*witness.File]suspect{},
	}
	cr.result = scenario.Result{
		Name:    files.Name(),
		Hash:    files.Scenario.Hash,
		Case:    files.Case,
		Verdict: scenario.Pass,
	}
	for _, role := range roles {
		cr.sides[role] = newSide(peers[role], files, role)
	}
	for _, role := range roles {
		cr.sides[role].other = cr.sides[opposite(role)]
	}
	err := cr.execute()
	files.close()
	if len(cr.result.Findings) > 0 {
		cr.result.Verdict = scenario.Fail
		cr.result.Facts = judge.Text(cr.facts.list, cr.facts.found)
	}
	if errors.Is(err, errCaseOver) {
		err = nil
	}
	return cr.result, err
}

// execute begins the case at both peers, runs the transcript, and ends the case at both peers,
// whatever the transcript found.
func (cr *caseRun) execute() error {
	for _, role := range roles {
		if err := cr.begin(cr.sides[role]); err != nil {
			return err
		}
	}
	dir, err := cr.enterDir()
	if dir != "" {
		defer os.RemoveAll(dir)
	}
	if err == nil {
		err = cr.runSteps()
	}
	cr.decided = true
	for _, sd := range cr.sides {
		sd.restoreLimit()
	}
	if err != nil && !errors.Is(err, errCaseOver) {
		return err
	}
	if err := cr.endBoth(); err != nil {
		return err
	}
	if err := cr.checkHolders(); err != nil {
		return err
	}
	if cr.spent {
		return errSessionOver
	}
	return err
}

// begin sends a peer the descriptors that the case uses.
func (cr *caseRun) begin(sd *side) error {
	for _, fd := range sd.given {
		delete(sd.spare, fd)
	}
	if !slices.ContainsFunc(cr.Scenario.Steps, func(st scenario.Step) bool { return needsSocket(st, sd.role) }) {
		sd.socket.Drop()
	}
	use := fmt.Sprintf("use sock=%d fds=%s", sd.socket.FD, peer.FormatList(sd.given[1:]))
	if err := cr.expectOK(sd, use); err != nil {
		return err
	}
	cr.facts.given(sd, cr.ownedBy(sd.role))
	cr.checkStates(sd, 0)
	return nil
}

// endBoth ends the case at both peers. A side whose command is still pending comes last.
func (cr *caseRun) endBoth() error {
	order := roles
	if cr.awaited() {
		if !cr.failed() {
			return errSessionOver // the answer would be taken for the one to "end"
		}
		for _, socket := range cr.sockets {
			socket.Drop() // the side that waits sees the end of the connection
		}
		if cr.sides[order[0]].pending {
			order = []scenario.Role{order[1], order[0]}
		}
	}
	for _, role := range order {
		sd := cr.sides[role]
		if sd.pending {
			if err := cr.settle(sd); err != nil {
				return err
			}
		}
		if sd.killed {
			continue
		}
		if err := cr.end(sd); err != nil {
			return err
		}
	}
	return nil
}

// lastAnswer is how long the runner waits for an answer after the case has ended.
const lastAnswer = time.Second

// settle waits briefly for the answer of a side whose command was pending when a failure at the other
// side ended the case. The answer is not judged. If there is none, the side waits for a message that
// will not arrive.
func (cr *caseRun) settle(sd *side) error {
	a := reply{side: sd}
	a.text, a.err = sd.ReadAnswer(cr.ctx, min(lastAnswer, cr.timeout))
	switch {
	case errors.Is(a.err, process.ErrHang):
		return errSessionOver
	case a.err != nil:
		return cr.noAnswer(sd, 0, a.err)
	case !isFormed(sd, a.text):
		cr.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(a.text), sd.command.text)
		return errSessionOver
	}
	cr.setAside(a)
	return nil
}

// end sends a peer the command to close all descriptors of the case. It checks for leaks before
// and after.
func (cr *caseRun) end(sd *side) error {
	open := cr.checkHeld(sd, 0)
	if err := cr.checkLeaks(sd, 0, open); err != nil {
		return err
	}
	if err := cr.expectOK(sd, "end"); err != nil {
		return err
	}
	sd.untrack()
	sd.ended = true
	open = cr.checkHeld(sd, 0)
	if !cr.awaited() {
		cr.checkStates(sd, 0)
	}
	return cr.checkLeaks(sd, 0, open)
}

// expectOK sends a command of the contract to which every peer answers ok.
func (cr *caseRun) expectOK(sd *side, command string) error {
	answer, err := cr.ask(sd, command)
	if err != nil {
		return cr.noAnswer(sd, 0, err)
	}
	if answer != "ok" {
		cr.find(scenario.CheckContract, sd, 0, "answered %s to %q", contract.Quote(answer), command)
		return errSessionOver
	}
	return nil
}

// enterDir creates a directory for the case and makes it the working directory of the runner's own
// processes, if the scenario uses paths. If one of these processes cannot change to the directory,
// the kernel is not at fault, so the case counts as not run.
func (cr *caseRun) enterDir() (dir string, err error) {
	if !cr.Scenario.UsesPaths() {
		return "", nil
	}
	// If one of these processes runs as another user, the directory must be writable by all users.
	mode := os.FileMode(0o700)
	setsUser := func(st scenario.Step) bool { return st.Command.Verb == "setuid" }
	if len(cr.Scenario.Users) > 0 || slices.ContainsFunc(cr.Scenario.Steps, setsUser) {
		mode = 0o777
	}
	if dir, err = os.MkdirTemp(cr.folder, ""); err == nil {
		err = os.Chmod(dir, mode)
	}
	if err != nil {
		return dir, cr.notRun("%v", err)
	}
	for _, role := range roles {
		sd := cr.sides[role]
		if !sd.byRunner {
			continue
		}
		command := "chdir path=" + dir
		answer, err := cr.ask(sd, command)
		if err != nil {
			return dir, cr.noAnswer(sd, 0, err)
		}
		if answer != "ok" {
			return dir, cr.notRun("the runner's side cannot enter the folder of the case: it answered %s to %q",
				contract.Quote(answer), command)
		}
	}
	return dir, nil
}
