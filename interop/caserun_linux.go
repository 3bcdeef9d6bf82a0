package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/judge"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
)

// An environment contains the settings and the state that all sessions of a run share.
type environment struct {
	ctx       context.Context // of the run, which may be cut short
	timeout   time.Duration
	witness   *witness.Witness
	folder    string        // for the files of the run that have a name
	holders   *sync.Map     // names of the peers that were blamed for a leak in no descriptor table
	exclusive *sync.RWMutex // held by each running case; write-locked by a case that must run alone

	hangs       func(scenario.Case, scenario.Role) bool // whether the peer is expected not to answer
	runnerFails func(scenario.Case) string              // why the case shows nothing about the peers here, or ""
	records     map[scenario.Role]*process.Record       // of the peers, if they are recorded
	told        func(*judge.Record)                     // Options.Told
}

// A caseRun is the state of a case while it runs. It carries out the lines of the transcript, tells the judge what
// happened at each, and does what the judge asks for.
type caseRun struct {
	*environment
	*observer
	judge  *judge.Judge
	began  time.Time
	result scenario.Result
	record *judge.Record    // nil: nobody wants it
	facts  []fact.Fact      // those that a reader can see
	found  map[int][]string // the findings at each fact
}

// Errors that end a case.
var (
	errCaseOver    = errors.New("the case is decided")
	errSessionOver = errors.New("the session is over") // the rest of the cases need a new session
)

// runCase runs one case with the processes of its two peers. If it returns an error, the two
// processes cannot run further cases.
func runCase(env *environment, files *caseFiles, peers map[scenario.Role]*peerProcess) (scenario.Result, error) {
	cr := &caseRun{
		environment: env,
		observer:    &observer{files, env.witness, map[scenario.Role]*side{}, nil, files.initial},
		began:       time.Now(),
		found:       map[int][]string{},
	}
	cr.result = scenario.Result{
		Name:    files.Name(),
		Hash:    files.Scenario.Hash,
		Case:    files.Case,
		Verdict: scenario.Pass,
	}
	setup := judge.Setup{
		Case:      files.Case,
		Processes: map[scenario.Role]*judge.Process{},
		Given:     map[scenario.Role][]fact.Descriptor{},
		Timeout:   env.timeout,
	}
	for _, role := range roles {
		cr.sides[role] = newSide(peers[role], files, role)
		setup.Processes[role], setup.Given[role] = peers[role].known, cr.sides[role].given()
	}
	a, b := cr.sides[scenario.RoleA], cr.sides[scenario.RoleB]
	a.other, b.other = b, a
	setup.Prefix = cr.socketPrefix()
	if env.told != nil {
		cr.record = judge.NewRecord(setup)
		defer func() { env.told(cr.record) }()
	}
	cr.judge = judge.New(setup)
	err := cr.execute()
	files.close()
	for _, peer := range cr.judge.CloexecChecked() {
		cr.result.SetCloexecChecked(peer)
	}
	if len(cr.result.Findings) > 0 {
		cr.result.Verdict = scenario.Fail
		cr.result.Facts = fact.Text(cr.facts, cr.found)
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
	if cr.judge.Spent() {
		return errSessionOver
	}
	return err
}

// runSteps runs the lines of the transcript. Each line is an action for the runner itself, a command
// for a side, or the answer expected from a side. An error ends the case.
func (cr *caseRun) runSteps() error {
	for _, st := range cr.Scenario.Steps {
		var err error
		switch {
		case st.Role == scenario.RoleR:
			err = cr.act(st)
		case st.Kind == scenario.StepCommand:
			err = cr.say(st)
		default:
			err = cr.takeAnswer(st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next tells the judge a fact, and does what the judge asks for until it has nothing more to ask. An error ends the case.
func (cr *caseRun) next(f fact.Fact) (err error) {
	for {
		do := cr.tell(f)
		sd := cr.sides[do.Role]
		switch do.What {
		case judge.GoOn:
			return nil
		case judge.EndCase:
			return errCaseOver
		case judge.EndSession:
			return errSessionOver
		case judge.Ask:
			f, err = cr.probe(sd, do.Step)
		case judge.Await:
			f = fact.Fact{Kind: fact.Unasked, Side: sd.role}
			if cr.fails(sd) {
				f, err = cr.readAnswer(sd, do.Step)
			}
		case judge.LookAgain:
			if cr.ctx.Err() != nil {
				return process.ErrCut
			}
			time.Sleep(time.Millisecond)
			f = cr.lookAt(sd)
		case judge.EndPeer:
			f = sd.silence
			f.Why = sd.Explain(sd.missing).Error()
		}
		if err != nil {
			return err
		}
	}
}

// tell tells the judge a fact. It adds the fact, what the judge finds and its verdict to the result.
func (cr *caseRun) tell(f fact.Fact) judge.Do {
	f.Time = time.Since(cr.began)
	findings, do := cr.judge.Next(f)
	if cr.record != nil {
		cr.record.Add(f, do)
	}
	if f.Text != "" {
		cr.result.Transcript = append(cr.result.Transcript, f.Text)
	}
	if f.Shows() || len(cr.facts) == 0 {
		cr.facts = append(cr.facts, f)
	}
	for _, finding := range findings {
		at := len(cr.facts) - 1
		cr.found[at] = append(cr.found[at], fmt.Sprintf("%s: %s", finding.Check, finding.Text))
		if !slices.Contains(cr.result.Findings, finding) {
			cr.result.Findings = append(cr.result.Findings, finding)
		}
	}
	if do.Verdict != "" {
		cr.result.Verdict, cr.result.Why = do.Verdict, do.Why
	}
	if f.Kind == fact.Answered && cr.sides[f.Side].byRunner {
		cr.addMade(cr.sides[f.Side], cr.judge.Made(f.Side))
	}
	return do
}

// notRun ends a case that the runner could not run.
func (cr *caseRun) notRun(format string, args ...any) error {
	cr.result.Verdict = scenario.NotRun
	cr.result.Why = fmt.Sprintf(format, args...)
	return errCaseOver
}

// say sends the command of a step to its side.
func (cr *caseRun) say(st scenario.Step) error {
	sd := cr.sides[st.Role]
	text, err := cr.fillIn(sd, st)
	if err != nil {
		return cr.notRun("line %d: %v", st.Line, err)
	}
	cr.tell(sd.sent(st, text))
	if err := sd.SendCommand(cr.ctx, text, cr.timeout); err != nil {
		f, err := cr.noAnswer(sd, st, err, cr.timeout)
		if err == nil && f.Kind == fact.Silent && f.Signal == "" {
			f.Why = sd.Explain(sd.missing).Error()
		}
		return cmpOr(err, func() error { return cr.next(f) })
	}
	return nil
}

// takeAnswer waits for the answer that a step expects, and tells the judge what it is. If the other side's answer ends the
// case and may be the reason why this side waits in vain, it takes that one.
func (cr *caseRun) takeAnswer(st scenario.Step) error {
	sd := cr.sides[st.Role]
	began := time.Now()
	hangs, other := cr.hangs(cr.Case, sd.role), cr.judge.Pending(sd.other.role)
	text, err := sd.awaitAnswer(cr.environment, hangs, other, func() bool { return cr.endsCase(sd.other, st.Line) })
	if errors.Is(err, process.ErrHang) && cr.endsCase(sd.other, st.Line) {
		next, _ := cr.judge.Expected(sd.other.role, st.Line)
		sd, st = sd.other, next
		text, err = sd.ReadAnswer(cr.ctx, cr.timeout)
	}
	f, err := cr.heard(sd, st, text, err, time.Since(began))
	return cmpOr(err, func() error { return cr.next(f) })
}

// cmpOr returns the error, or calls next if there is none.
func cmpOr(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// endsCase reports whether the side has already given an answer that ends the case.
func (cr *caseRun) endsCase(sd *side, line int) bool {
	next, expected := cr.judge.Expected(sd.role, line)
	if !expected || !sd.Answered() {
		return false
	}
	text, err := sd.PeekAnswer(cr.ctx, shortestWait)
	if err != nil {
		return !errors.Is(err, process.ErrHang)
	}
	return cr.judge.EndsCase(fact.Fact{Side: sd.role, Step: next, Said: text, Owners: cr.owners(sd, next)})
}

// fails reports whether the side's pending command fails, so that its library may close the socket. The library may do so
// before the peer answers, so fails waits until the peer sleeps.
func (cr *caseRun) fails(sd *side) bool {
	for deadline := time.Now().Add(cr.timeout); ; {
		late := time.Now().After(deadline)
		text, err := sd.PeekAnswer(cr.ctx, min(shortestWait, cr.timeout))
		if !errors.Is(err, process.ErrHang) {
			return err == nil && judge.IsFailure(text)
		}
		idle, _ := sd.IsIdle()
		if late || idle && !sd.Answered() { // it may have answered before it slept
			return false
		}
	}
}

// readAnswer reads the answer that a step expects and that the side has already given.
func (cr *caseRun) readAnswer(sd *side, st scenario.Step) (fact.Fact, error) {
	text, err := sd.ReadAnswer(cr.ctx, cr.timeout)
	return cr.heard(sd, st, text, err, 0)
}

// heard returns the fact of an answer and of what it has changed, or the fact that there is none.
func (cr *caseRun) heard(sd *side, st scenario.Step, text string, err error, waited time.Duration) (fact.Fact, error) {
	if err != nil {
		return cr.noAnswer(sd, st, err, waited)
	}
	f := sd.answered(st, text)
	f.Owners = cr.owners(sd, st)
	named, fresh := cr.judge.Named(sd.role, text)
	cr.look(&f, named, fresh, false)
	if !cr.judge.Pending(sd.other.role) {
		f.States = cr.changes()
	}
	return f, nil
}

// noAnswer returns the fact that there is no answer.
func (cr *caseRun) noAnswer(sd *side, st scenario.Step, err error, waited time.Duration) (fact.Fact, error) {
	if errors.Is(err, process.ErrCut) || cr.ctx.Err() != nil { // the runner itself may have killed it
		return fact.Fact{}, process.ErrCut
	}
	return sd.noAnswer(st, err, waited), nil
}

// lookAt looks at the descriptors of a side when the transcript has ended.
func (cr *caseRun) lookAt(sd *side) fact.Fact {
	f := fact.Fact{Kind: fact.Looked, Side: sd.role}
	cr.look(&f, nil, nil, true)
	return f
}

// probe asks a side the command of a step out of turn.
func (cr *caseRun) probe(sd *side, st scenario.Step) (fact.Fact, error) {
	text, err := cr.fillIn(sd, st)
	if err != nil {
		return fact.Fact{Kind: fact.Unasked, Side: sd.role}, nil // it names a file that the peer has not received
	}
	answer, err := cr.ask(sd, text)
	if errors.Is(err, process.ErrCut) || cr.ctx.Err() != nil {
		return fact.Fact{}, process.ErrCut
	}
	if err != nil {
		return fact.Fact{Kind: fact.Silent, Side: sd.role}, nil
	}
	return sd.answered(scenario.Step{}, answer), nil
}

// ask sends a command of the runner's own and returns the answer.
func (cr *caseRun) ask(sd *side, text string) (string, error) {
	cr.tell(sd.sent(scenario.Step{}, text))
	return sd.Ask(cr.ctx, text, cr.timeout)
}

// expectOK sends a command of the contract to which every peer answers ok. It passes the answer to complete, which adds
// what has changed.
func (cr *caseRun) expectOK(sd *side, command string, complete func(*fact.Fact)) error {
	answer, err := cr.ask(sd, command)
	if err != nil {
		f, err := cr.noAnswer(sd, scenario.Step{}, err, cr.timeout)
		if err == nil && f.Kind == fact.Silent && f.Signal == "" {
			f.Why = sd.Explain(sd.missing).Error()
		}
		return cmpOr(err, func() error { return cr.next(f) })
	}
	f := sd.answered(scenario.Step{}, answer)
	complete(&f)
	return cr.next(f)
}

// begin sends a peer the descriptors that the case uses.
func (cr *caseRun) begin(sd *side) error {
	if !slices.ContainsFunc(cr.Scenario.Steps, func(st scenario.Step) bool { return needsSocket(st, sd.role) }) {
		sd.socket.Drop()
	}
	var fds []int
	for _, file := range cr.ownedBy(sd.role) {
		fds = append(fds, file.FD)
	}
	use := fmt.Sprintf("use sock=%d fds=%s", fds[0], peer.FormatList(fds[1:]))
	return cr.expectOK(sd, use, func(f *fact.Fact) { f.Descriptors, f.States = sd.given(), cr.changes() })
}

// endBoth ends the case at both peers. A side whose command is still pending comes last.
func (cr *caseRun) endBoth() error {
	order := roles
	if cr.judge.Pending(order[0]) || cr.judge.Pending(order[1]) {
		if !cr.judge.Failed(order[0]) && !cr.judge.Failed(order[1]) {
			return errSessionOver // the answer would be taken for the one to "end"
		}
		for _, socket := range cr.sockets {
			socket.Drop() // the side that waits sees the end of the connection
		}
		if cr.judge.Pending(order[0]) {
			order = []scenario.Role{order[1], order[0]}
		}
	}
	for _, role := range order {
		sd := cr.sides[role]
		if cr.judge.Pending(role) {
			if err := cr.settle(sd); err != nil {
				return err
			}
		}
		if cr.judge.Killed(role) {
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
	text, err := sd.ReadAnswer(cr.ctx, min(lastAnswer, cr.timeout))
	if errors.Is(err, process.ErrHang) {
		return errSessionOver
	}
	f, err := cr.heard(sd, scenario.Step{}, text, err, 0)
	if err == nil && f.Kind == fact.Answered {
		f.Kind = fact.Aside
	}
	return cmpOr(err, func() error { return cr.next(f) })
}

// end sends a peer the command to close all descriptors of the case. It looks at the descriptors before and after.
func (cr *caseRun) end(sd *side) error {
	if err := cr.next(cr.lookAt(sd)); err != nil {
		return err
	}
	return cr.expectOK(sd, "end", func(f *fact.Fact) {
		cr.look(f, nil, nil, true)
		if !cr.judge.Pending(sd.other.role) {
			f.States = cr.changes()
		}
	})
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
		var refusal string
		command := "chdir path=" + dir
		err := cr.expectOK(sd, command, func(f *fact.Fact) {
			if f.Said != "ok" {
				refusal, f.Said = f.Said, "ok" // no finding about the kernel
			}
		})
		switch {
		case err != nil:
			return dir, err
		case refusal != "":
			return dir, cr.notRun("the runner's side cannot enter the folder of the case: it answered %s to %q",
				contract.Quote(refusal), command)
		}
	}
	return dir, nil
}
