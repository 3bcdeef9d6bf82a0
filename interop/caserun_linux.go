package interop

import (
	"cmp"
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

// An environment contains the settings and the state that all pairs of a run share.
type environment struct {
	ctx       context.Context // of the run, which may be cut short
	timeout   time.Duration
	witness   *witness.Witness
	folder    string        // for temporary files
	holders   *sync.Map     // names of the peers that were blamed for a leak in no descriptor table
	exclusive *sync.RWMutex // held by each running case; write-locked by a case that must run alone

	hangs       func(scenario.Case, scenario.Role) bool // whether the peer is expected not to answer
	runnerFails func(scenario.Case) string              // why the case shows nothing about the peers here, or ""
	recordings  map[scenario.Role]*process.Recording    // of the peers, if they are recorded
	limit       *hangLimit                              // of the cases that hang
	observe     func(*judge.Log)                        // Options.Observe
}

// A caseRun is the state of a case while it runs. It is the judge.Runner of the case.
type caseRun struct {
	env *environment
	*observer
	began      time.Time
	transcript []string
	lines      []string    // what a reader sees: the transcript, what changed at each line, and the findings there
	noted      judge.Found // its findings are in lines already, and its files among those of the case
}

// runCase runs one case with the processes of its two peers. If it returns an error, the two
// processes cannot run further cases.
func runCase(env *environment, files *caseFiles, peers map[scenario.Role]*peerProcess) (scenario.Result, error) {
	cr := &caseRun{
		env:      env,
		observer: &observer{files, env.witness, map[scenario.Role]*side{}, nil, files.initial},
		began:    time.Now(),
	}
	defer files.close()
	setup := judge.Setup{
		Case:    files.Case,
		Held:    map[scenario.Role]*judge.Held{},
		Given:   map[scenario.Role][]fact.Descriptor{},
		Timeout: env.timeout,
	}
	for _, role := range roles {
		cr.sides[role] = newSide(peers[role], files, role)
		setup.Held[role], setup.Given[role] = peers[role].held, cr.sides[role].given()
		if !cr.needsSocketAfter(0, role) {
			cr.sides[role].socket.Drop()
		}
	}
	a, b := cr.sides[scenario.RoleA], cr.sides[scenario.RoleB]
	a.other, b.other = b, a
	setup.Prefix = fmt.Sprintf("scm-%s-%d-%d.", processRandom(), a.Pid, a.socket.FD)
	var err error
	if setup.Folder, err = cr.makeFolder(); err != nil {
		return without(files.Case, scenario.NotRun, err.Error(), false), judge.ErrPairOver
	}
	if setup.Folder != "" {
		defer os.RemoveAll(setup.Folder)
	}
	if env.observe != nil {
		setup.Log = &judge.Log{}
		defer func() { env.observe(setup.Log) }()
	}
	found, err := judge.Run(setup, cr)
	cr.note(found)
	res := without(files.Case, cmp.Or(found.Verdict, scenario.Pass), found.Why, false)
	res.Transcript, res.Obstacle = cr.transcript, found.Obstacle
	for _, peer := range found.CloexecChecked {
		res.SetCloexecChecked(peer)
	}
	for _, finding := range found.Findings {
		if !slices.Contains(res.Findings, finding) {
			res.Findings = append(res.Findings, finding)
		}
	}
	if len(res.Findings) > 0 {
		res.Verdict, res.Facts = scenario.Fail, cr.lines
	}
	return res, err
}

// processRandom is part of the names of all abstract sockets of this process. PIDs alone would not be unique,
// because another process in the same network namespace can run in its own PID namespace.
var processRandom = sync.OnceValue(func() string { return rand.Text()[:12] })

// CarryOut carries out a request of the judge, and returns what happened. An error ends the pair.
func (cr *caseRun) CarryOut(found judge.Found, do judge.Request) (any, error) {
	cr.note(found)
	f, err := cr.carryOut(do)
	if seen, ok := f.(interface{ Lines() []string }); ok && err == nil {
		cr.below(seen.Lines())
	}
	return f, err
}

// note adds new findings to the lines, and new files to those of the case.
func (cr *caseRun) note(found judge.Found) {
	for _, finding := range found.Findings[len(cr.noted.Findings):] {
		cr.below(fact.Finding(fmt.Sprintf("%s: %s", finding.Check, finding.Text)))
	}
	for _, file := range found.Made[len(cr.noted.Made):] {
		cr.addMade(file.Owner, file.Name, file.FD)
	}
	cr.noted = found
}

func (cr *caseRun) carryOut(do judge.Request) (any, error) {
	switch do := do.(type) {
	case judge.Send:
		return cr.send(do)
	case judge.Ask:
		sd := cr.sides[do.Role]
		cr.transcribe("%s> %s", sd.role, do.Text)
		return cr.answer(sd, scenario.Step{}, sd.SendCommand(cr.env.ctx, do.Text, cr.env.timeout), cr.env.timeout)
	case judge.Await:
		return cr.await(do)
	case judge.AwaitFailure:
		sd := cr.sides[do.Role] // it may close its socket before it answers, so wait until it sleeps
		text, err := sd.awaitLine(cr.env, shortestWait, func() bool { return true })
		if err != nil || !judge.IsFailure(text) {
			return fact.Missing{Side: do.Role}, nil
		}
		return cr.answer(sd, do.Step, nil, 0)
	case judge.Look:
		return cr.lookAt(do)
	case judge.Act:
		return cr.act(do)
	case judge.Release:
		for _, sd := range cr.sides {
			sd.restoreLimit()
			if do.Sockets {
				sd.socket.Drop()
			}
		}
		return fact.Acted{}, nil
	}
	return cr.watch(do.(judge.Watch))
}

// transcribe adds a line to the transcript.
func (cr *caseRun) transcribe(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	cr.transcript = append(cr.transcript, line)
	cr.lines = append(cr.lines, line)
}

// below adds lines below the last line of the transcript.
func (cr *caseRun) below(lines []string) {
	for _, l := range lines {
		cr.lines = append(cr.lines, "    "+l)
	}
}

// send sends a side the command of a step.
func (cr *caseRun) send(do judge.Send) (any, error) {
	sd := cr.sides[do.Role]
	text := do.Text
	if sd.byRunner {
		var err error
		if text, err = judge.FillInProcesses(text, cr.owners()); err != nil {
			return cannot(do.At, scenario.NotRun, err), nil
		}
	}
	cr.transcribe("%s>%s %s", sd.role, scenario.Async(do.Step), text)
	if err := sd.SendCommand(cr.env.ctx, text, cr.env.timeout); err != nil {
		return cr.noAnswer(sd, err, cr.env.timeout)
	}
	return fact.Sent{Side: sd.role, Text: text}, nil
}

// await waits for the answer that a step expects. If the other side's answer ends the case and may be the reason why
// this side waits in vain, it takes that one.
func (cr *caseRun) await(do judge.Await) (any, error) {
	sd, began := cr.sides[do.Role], time.Now()
	if do.Step.Line == 0 {
		_, err := sd.PeekAnswer(cr.env.ctx, min(lastAnswer, cr.env.timeout))
		return cr.answer(sd, do.Step, err, time.Since(began))
	}
	hangs, wait := cr.env.hangs(cr.Case, sd.role), cr.env.timeout
	if hangs {
		wait = expectedHang
	} else if do.EndsCase != nil {
		wait = shortestWait
	}
	decided := func() bool { // the other side's answer ends the case; it stays unread
		if do.EndsCase == nil || !sd.other.Answered() {
			return false
		}
		text, err := sd.other.PeekAnswer(cr.env.ctx, shortestWait)
		if err != nil {
			return !errors.Is(err, process.ErrHang)
		}
		return do.EndsCase(cr.said(sd.other, text))
	}
	_, err := sd.awaitLine(cr.env, wait, func() bool { return hangs || decided() })
	if errors.Is(err, process.ErrHang) && decided() {
		return cr.answer(sd.other, do.Other, nil, 0)
	}
	return cr.answer(sd, do.Step, err, time.Since(began))
}

// answer returns the answer that the side has printed, or why it has not answered.
func (cr *caseRun) answer(sd *side, st scenario.Step, err error, waited time.Duration) (any, error) {
	text := ""
	if err == nil {
		text, err = sd.ReadAnswer(cr.env.ctx, cr.env.timeout)
	}
	if err != nil {
		return cr.noAnswer(sd, err, waited)
	}
	cr.transcribe("%s<%s %s", sd.role, scenario.Async(st), text)
	return cr.said(sd, text), nil
}

// said returns the fact of an answer. Scenarios expect the runner's own processes to name the two processes.
func (cr *caseRun) said(sd *side, text string) fact.Answer {
	f := fact.Answer{Side: sd.role, Said: text}
	if sd.byRunner {
		f.Owners = cr.owners()
	}
	return f
}

// noAnswer returns why the side has not answered.
func (cr *caseRun) noAnswer(sd *side, err error, waited time.Duration) (any, error) {
	if errors.Is(err, process.ErrCut) || cr.env.ctx.Err() != nil { // the runner itself may have killed it
		return nil, process.ErrCut
	}
	f := sd.noAnswer(err, waited)
	if f.Kind == fact.Broken && !sd.byRunner {
		cr.transcribe("%s< %s", sd.role, f.Why)
	}
	if line := f.Line(); line != "" {
		cr.lines = append(cr.lines, line)
	}
	return f, nil
}

// lookAt returns what has changed since the runner last looked.
func (cr *caseRun) lookAt(do judge.Look) (any, error) {
	if do.Again {
		if cr.env.ctx.Err() != nil {
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
	return f, nil
}

// lastAnswer is how long the runner waits for an answer after the case has ended.
const lastAnswer = time.Second

// cannot returns the fact that the runner could not do what a line needs.
func cannot(at judge.At, verdict scenario.Verdict, why error) fact.Acted {
	return fact.Acted{Verdict: verdict, Why: fmt.Sprintf("line %d: %v", at.Step.Line, why)}
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
	if dir, err = os.MkdirTemp(cr.env.folder, fmt.Sprintf("scm-interop-%d-*.d", os.Getpid())); err == nil {
		err = os.Chmod(dir, mode)
	}
	return dir, err
}
