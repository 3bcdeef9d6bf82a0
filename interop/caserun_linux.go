package interop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// An environment contains the settings and the state that all sessions of a run share.
type environment struct {
	ctx       context.Context // of the run, which may be cut short
	timeout   time.Duration
	witness   *witness.Witness
	folder    string        // for temporary files
	holders   *sync.Map     // names of the peers that were blamed for a leak in no descriptor table
	exclusive *sync.RWMutex // held by each running case; write-locked by a case that must run alone

	hangs       func(scenario.Case, scenario.Role) bool // whether the peer is expected not to answer
	runnerFails func(scenario.Case) string              // why the case shows nothing about the peers here, or ""
	records     map[scenario.Role]*process.Record       // of the peers, if they are recorded
	told        func(*judge.Record)                     // Options.Told
}

// A caseRun is the state of a case while it runs. It does what the judge requests, and reports what happened.
type caseRun struct {
	*environment
	*observer
	judge  *judge.Judge
	began  time.Time
	result scenario.Result
	lines  []string // what a reader sees: the transcript, what changed at each line, and the findings there
}

// errSessionOver ends a session: the rest of its cases need a new one.
var errSessionOver = errors.New("the session is over")

// runCase runs one case with the processes of its two peers. If it returns an error, the two
// processes cannot run further cases.
func runCase(env *environment, files *caseFiles, peers map[scenario.Role]*peerProcess) (scenario.Result, error) {
	cr := &caseRun{
		environment: env,
		observer:    &observer{files, env.witness, map[scenario.Role]*side{}, nil, files.initial},
		began:       time.Now(),
	}
	cr.result = scenario.Result{
		Name:    files.Name(),
		Hash:    files.Scenario.Hash,
		Case:    files.Case,
		Verdict: scenario.Pass,
	}
	defer files.close()
	setup := judge.Setup{
		Case:      files.Case,
		Processes: map[scenario.Role]*judge.Process{},
		Given:     map[scenario.Role][]fact.Descriptor{},
		Timeout:   env.timeout,
	}
	for _, role := range roles {
		cr.sides[role] = newSide(peers[role], files, role)
		setup.Processes[role], setup.Given[role] = peers[role].known, cr.sides[role].given()
		if !cr.needsSocketAfter(0, role) {
			cr.sides[role].socket.Drop()
		}
	}
	a, b := cr.sides[scenario.RoleA], cr.sides[scenario.RoleB]
	a.other, b.other = b, a
	setup.Prefix = fmt.Sprintf("scm-%s-%d-%d.", processRandom(), a.Pid, a.socket.FD)
	var err error
	if setup.Folder, err = cr.makeFolder(); err != nil {
		return without(files.Case, scenario.NotRun, err.Error(), false), errSessionOver
	}
	if setup.Folder != "" {
		defer os.RemoveAll(setup.Folder)
	}
	if env.told != nil {
		setup.Record = &judge.Record{}
		defer func() { env.told(setup.Record) }()
	}
	cr.judge = judge.New(setup)
	for do := cr.note(cr.judge.Begin()); do != nil && err == nil; {
		do, err = cr.carryOut(do)
	}
	if len(cr.result.Findings) > 0 {
		cr.result.Verdict = scenario.Fail
		cr.result.Facts = cr.lines
	}
	return cr.result, err
}

// processRandom is part of the names of all abstract sockets of this process. PIDs alone would not be unique,
// because another process in the same network namespace can run in its own PID namespace.
var processRandom = sync.OnceValue(func() string { return rand.Text()[:12] })

// carryOut does what the judge requests, and returns the next request, or nil at the end. An error ends the session.
func (cr *caseRun) carryOut(do judge.Request) (judge.Request, error) {
	switch do := do.(type) {
	case judge.Send:
		return cr.send(do)
	case judge.Ask:
		return cr.ask(do)
	case judge.Await:
		return cr.await(do)
	case judge.AwaitFailure:
		return cr.awaitFailure(do)
	case judge.Look:
		return cr.lookAt(do)
	case judge.Act:
		return cr.act(do)
	case judge.Release:
		return cr.release(do), nil
	case judge.Watch:
		return cr.watch(do)
	}
	if do.(judge.End).Session {
		return nil, errSessionOver
	}
	return nil, nil
}

// note adds what the judge has found to the result, and returns its request.
func (cr *caseRun) note(found judge.Found, do judge.Request) judge.Request {
	for _, finding := range found.Findings {
		cr.below(fact.Finding(fmt.Sprintf("%s: %s", finding.Check, finding.Text)))
		if !slices.Contains(cr.result.Findings, finding) {
			cr.result.Findings = append(cr.result.Findings, finding)
		}
	}
	for _, file := range found.Made {
		cr.addMade(file.Owner, file.Name, file.FD)
	}
	for _, peer := range found.CloexecChecked {
		cr.result.SetCloexecChecked(peer)
	}
	if found.Verdict != "" {
		cr.result.Verdict, cr.result.Why = found.Verdict, found.Why
	}
	return do
}

// transcribe adds a line to the transcript.
func (cr *caseRun) transcribe(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	cr.result.Transcript = append(cr.result.Transcript, line)
	cr.lines = append(cr.lines, line)
}

// below adds lines below the last line of the transcript.
func (cr *caseRun) below(lines []string) {
	for _, l := range lines {
		cr.lines = append(cr.lines, "    "+l)
	}
}

// send sends a side the command of a step.
func (cr *caseRun) send(do judge.Send) (judge.Request, error) {
	sd := cr.sides[do.Role]
	text := do.Text
	if sd.byRunner {
		var err error
		if text, err = judge.FillInProcesses(text, cr.owners()); err != nil {
			return cr.cannot(do.At, scenario.NotRun, err), nil
		}
	}
	cr.transcribe("%s>%s %s", sd.role, scenario.Async(do.Step), text)
	if err := sd.SendCommand(cr.ctx, text, cr.timeout); err != nil {
		return cr.noAnswer(sd, err, cr.timeout)
	}
	return cr.note(cr.judge.Sent(fact.Sent{Side: sd.role, Text: text})), nil
}

// ask sends a side a command out of turn, and waits for the answer.
func (cr *caseRun) ask(do judge.Ask) (judge.Request, error) {
	sd := cr.sides[do.Role]
	cr.transcribe("%s> %s", sd.role, do.Text)
	return cr.heard(sd, scenario.Step{}, sd.SendCommand(cr.ctx, do.Text, cr.timeout), cr.timeout)
}

// await waits for the answer that a step expects. If the other side's answer ends the case and may be the reason why
// this side waits in vain, it takes that one.
func (cr *caseRun) await(do judge.Await) (judge.Request, error) {
	sd, began := cr.sides[do.Role], time.Now()
	if do.Step.Line == 0 {
		_, err := sd.PeekAnswer(cr.ctx, min(lastAnswer, cr.timeout))
		return cr.heard(sd, do.Step, err, lastAnswer)
	}
	hangs, wait := cr.hangs(cr.Case, sd.role), cr.timeout
	if hangs {
		wait = expectedHang
	} else if do.Other.Line > 0 {
		wait = shortestWait
	}
	decided := func() bool { return do.Other.Line > 0 && cr.endsCase(sd.other) }
	_, err := sd.awaitLine(cr.environment, wait, func() bool { return hangs || decided() })
	if errors.Is(err, process.ErrHang) && decided() {
		return cr.heard(sd.other, do.Other, nil, 0)
	}
	return cr.heard(sd, do.Step, err, time.Since(began))
}

// awaitFailure waits until the side's pending command fails, so that its library may close the socket. The library may
// do so before the peer answers, so awaitFailure waits until the peer sleeps.
func (cr *caseRun) awaitFailure(do judge.AwaitFailure) (judge.Request, error) {
	sd := cr.sides[do.Role]
	text, err := sd.awaitLine(cr.environment, shortestWait, func() bool { return true })
	if err != nil || !judge.IsFailure(text) {
		return cr.note(cr.judge.Missing(fact.Missing{Side: do.Role})), nil
	}
	return cr.heard(sd, do.Step, nil, 0)
}

// endsCase reports whether the side has already given an answer that ends the case.
func (cr *caseRun) endsCase(sd *side) bool {
	if !sd.Answered() {
		return false
	}
	text, err := sd.PeekAnswer(cr.ctx, shortestWait)
	if err != nil {
		return !errors.Is(err, process.ErrHang)
	}
	return cr.judge.Peeked(cr.answer(sd, text))
}

// heard reports the answer that the side has printed, or why it has not answered.
func (cr *caseRun) heard(sd *side, st scenario.Step, err error, waited time.Duration) (judge.Request, error) {
	text := ""
	if err == nil {
		text, err = sd.ReadAnswer(cr.ctx, cr.timeout)
	}
	if err != nil {
		return cr.noAnswer(sd, err, waited)
	}
	cr.transcribe("%s<%s %s", sd.role, scenario.Async(st), text)
	return cr.note(cr.judge.Answered(cr.answer(sd, text))), nil
}

// answer returns the fact of an answer. Scenarios expect the runner's own processes to name the two processes.
func (cr *caseRun) answer(sd *side, text string) fact.Answer {
	f := fact.Answer{Side: sd.role, Said: text}
	if sd.byRunner {
		f.Owners = cr.owners()
	}
	return f
}

// noAnswer reports that the side has not answered.
func (cr *caseRun) noAnswer(sd *side, err error, waited time.Duration) (judge.Request, error) {
	if errors.Is(err, process.ErrCut) || cr.ctx.Err() != nil { // the runner itself may have killed it
		return nil, process.ErrCut
	}
	f := sd.noAnswer(err, waited)
	if f.Kind == fact.Broken && !sd.byRunner {
		cr.transcribe("%s< %s", sd.role, f.Why)
	}
	if line := f.Line(); line != "" {
		cr.lines = append(cr.lines, line)
	}
	return cr.note(cr.judge.Missing(f)), nil
}

// lookAt reports what has changed since the runner last looked.
func (cr *caseRun) lookAt(do judge.Look) (judge.Request, error) {
	if do.Again {
		if cr.ctx.Err() != nil {
			return nil, process.ErrCut
		}
		time.Sleep(time.Millisecond)
	}
	sd := cr.sides[do.Role]
	f := fact.Observation{Side: sd.role, Descriptors: sd.given()}
	if !do.First {
		f = cr.look(sd, do.Named, do.Fresh, do.All)
	}
	f.Time = time.Since(cr.began)
	if do.States {
		f.States = cr.changes()
	}
	cr.below(f.Lines())
	return cr.note(cr.judge.Seen(f)), nil
}

// lastAnswer is how long the runner waits for an answer after the case has ended.
const lastAnswer = time.Second

// release undoes what the scenario has changed from outside.
func (cr *caseRun) release(do judge.Release) judge.Request {
	for _, role := range roles {
		cr.sides[role].restoreLimit()
		if do.Sockets {
			cr.sides[role].socket.Drop()
		}
	}
	return cr.found(fact.Acted{})
}

// found reports what a line of the runner's own has found.
func (cr *caseRun) found(f fact.Acted) judge.Request {
	cr.below(f.Lines())
	return cr.note(cr.judge.Acted(f))
}

// cannot reports that the runner could not do what a line needs.
func (cr *caseRun) cannot(at judge.At, verdict scenario.Verdict, why error) judge.Request {
	return cr.found(fact.Acted{Verdict: verdict, Why: fmt.Sprintf("line %d: %v", at.Step.Line, why)})
}

// makeFolder creates a folder for the case, if the scenario uses paths.
func (cr *caseRun) makeFolder() (dir string, err error) {
	if !cr.Scenario.UsesPaths() {
		return "", nil
	}
	// If one of the runner's own processes runs as another user, the directory must be writable by all users.
	mode := os.FileMode(0o700)
	setsUser := func(st scenario.Step) bool { return st.Command.Verb == "setuid" }
	if len(cr.Scenario.Users) > 0 || slices.ContainsFunc(cr.Scenario.Steps, setsUser) {
		mode = 0o777
	}
	if dir, err = os.MkdirTemp(cr.folder, fmt.Sprintf("scm-interop-%d-*.d", os.Getpid())); err == nil {
		err = os.Chmod(dir, mode)
	}
	return dir, err
}
