package interop

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A play is a case being played.
type play struct {
	*session
	k        *kit
	sides    map[scenario.Role]*side
	bound    map[scenario.Role]map[string]int // received numbers by the names of their files
	given    map[scenario.Role][]int          // the case's numbers in the peer
	asked    map[scenario.Role]string         // the verb of what is not answered yet
	said     map[scenario.Role]string         // the last command
	made     []*witness.File                  // what the runner's sides have made in the case
	result   scenario.Result
	limits   map[*side]unix.Rlimit              // the peers' own, while they have another
	states   map[*witness.File]witness.State    // how the files were when somebody could last have changed them rightly
	reported map[held]bool                      // leaks that are found already
	leaked   map[*witness.File]bool             // and of which files
	changed  map[*witness.File]changer          // who has changed the state of a file, and should not have
	both     bool                               // whether both were at work since the states were noted
	dead     map[scenario.Role]bool             // whom the runner has killed
	signals  map[scenario.Role][]syscall.Signal // that the runner has sent, without those that have no effect any more
	sends    map[scenario.Role]bool             // who was told to send
	refused  map[scenario.Role]bool             // whose library has refused something, and may be done with the connection
	over     bool                               // the transcript has ended
	blind    []scenario.Role                    // of whom nobody can tell what they have open
	spent    bool                               // a side is not what it was: the session is over after this case
}

// errAbort ends a case whose finding is made.
var errAbort = errors.New("the case is decided")

// play plays one case. An error means that the session is over.
func (s *session) play(k *kit, first scenario.Case) (scenario.Result, error) {
	p := &play{
		session:  s,
		k:        k,
		states:   k.states,
		sides:    map[scenario.Role]*side{},
		bound:    map[scenario.Role]map[string]int{scenario.RoleA: {}, scenario.RoleB: {}},
		given:    map[scenario.Role][]int{},
		asked:    map[scenario.Role]string{},
		said:     map[scenario.Role]string{},
		limits:   map[*side]unix.Rlimit{},
		reported: map[held]bool{},
		leaked:   map[*witness.File]bool{},
		changed:  map[*witness.File]changer{},
		sends:    map[scenario.Role]bool{},
		refused:  map[scenario.Role]bool{},
		dead:     map[scenario.Role]bool{},
		signals:  map[scenario.Role][]syscall.Signal{},
	}
	p.result = scenario.Result{
		Name: k.c.Name(), Hash: k.c.Scenario.Hash, Case: k.c, Verdict: scenario.Pass, CloexecChecked: map[string]bool{},
	}
	for _, role := range roles {
		p.sides[role] = s.side[seat(first, k.c, role)]
		p.given[role] = []int{k.end(role).Number}
		for _, f := range k.files {
			if f.Owner == role {
				p.given[role] = append(p.given[role], f.Number)
			}
		}
	}
	err := p.run()
	k.close()
	if len(p.result.Findings) > 0 {
		p.result.Verdict = scenario.Fail
	}
	if err != nil && !errors.Is(err, errAbort) {
		return p.result, err
	}
	return p.result, nil
}

// run plays the transcript, and ends the case at both peers whatever came.
func (p *play) run() error {
	for _, role := range roles {
		for _, n := range p.given[role] {
			delete(p.sides[role].pool, n)
		}
		if !slices.ContainsFunc(p.k.c.Scenario.Steps, func(st scenario.Step) bool { return needsSock(st, role) }) {
			p.k.end(role).Drop()
		}
		use := fmt.Sprintf("use sock=%d fds=%s", p.k.end(role).Number, peer.FormatFDs(p.given[role][1:]))
		if err := p.expectOK(role, use); err != nil {
			return err
		}
		p.checkStates(role, 0)
	}
	dir, err := p.enterDir()
	if dir != "" {
		defer os.RemoveAll(dir)
	}
	if err == nil {
		err = p.steps()
	}
	p.over = true
	for _, sd := range p.sides {
		p.restoreLimit(sd)
	}
	if err != nil && !errors.Is(err, errAbort) {
		return err
	}
	if len(p.asked) > 0 {
		return errSessionOver // the answer to come would be taken for one to "end"
	}
	for _, role := range roles {
		if p.dead[role] {
			continue
		}
		open := p.checkHeld(role, 0, false)
		if err := p.checkLeaks(role, 0, false, open); err != nil {
			return err
		}
		if err := p.expectOK(role, "end"); err != nil {
			return err
		}
		open = p.checkHeld(role, 0, true)
		p.checkStates(role, 0)
		if err := p.checkLeaks(role, 0, true, open); err != nil {
			return err
		}
	}
	if e := p.checkHolders(); e != nil {
		return e
	}
	if p.spent {
		return errSessionOver
	}
	return err
}

// enterDir takes the runner's sides to a new folder, if they are to name files. That
// they cannot go there says nothing about the kernel.
func (p *play) enterDir() (dir string, err error) {
	s := p.k.c.Scenario
	if !s.UsesPaths() {
		return "", nil
	}
	// Anybody may make use of it where a side of the scenario plays as another user.
	mode := os.FileMode(0o700)
	setsUser := func(st scenario.Step) bool { return st.Command.Verb == "setuid" }
	if len(s.Users) > 0 || slices.ContainsFunc(s.Steps, setsUser) {
		mode = 0o777
	}
	if dir, err = os.MkdirTemp(p.folder, ""); err == nil {
		err = os.Chmod(dir, mode)
	}
	if err != nil {
		return dir, p.notRun("%v", err)
	}
	for _, role := range roles {
		if !s.RunnerPlays(role) {
			continue
		}
		command := "chdir path=" + dir
		a, err := p.ask(role, command)
		if err != nil {
			return dir, p.silent(role, 0, err)
		}
		if a != "ok" {
			return dir, p.notRun("the runner's side cannot go to the folder of the case: %s to %q", contract.Quote(a), command)
		}
	}
	return dir, nil
}

// ask says a command and returns the answer, and notes both.
func (p *play) ask(role scenario.Role, command string) (string, error) {
	p.note(fmt.Sprintf("%s> %s", role, command))
	a, err := p.sides[role].Ask(p.ctx, command, p.timeout)
	if err == nil {
		p.note(fmt.Sprintf("%s< %s", role, a))
	}
	return a, err
}

func (p *play) steps() error {
	for _, st := range p.k.c.Scenario.Steps {
		switch {
		case st.Role == scenario.RoleR:
			p.note("R> " + st.Text)
			if err := p.runnerStep(st); err != nil {
				return err
			}
		case st.Kind == scenario.StepSay:
			if err := p.say(st); err != nil {
				return err
			}
		default:
			if err := p.hear(st); err != nil {
				return err
			}
			open := p.checkHeld(st.Role, st.Line, false)
			// Somebody who is still to answer may have received and not told yet.
			if len(p.asked) > 0 {
				continue
			}
			p.checkStates(st.Role, st.Line)
			if !p.sides[st.Role].Peer.Hello.GC {
				if err := p.checkLeaks(st.Role, st.Line, false, open); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *play) note(l string) { p.result.Transcript = append(p.result.Transcript, l) }

func (p *play) find(check scenario.Check, role scenario.Role, line int, format string, args ...any) {
	p.add(scenario.Finding{Check: check, Peer: p.k.c.Peer(role).Name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (p *play) add(f scenario.Finding) {
	if !slices.Contains(p.result.Findings, f) {
		p.result.Findings = append(p.result.Findings, f)
	}
}

// expectOK says what the contract alone asks for.
func (p *play) expectOK(role scenario.Role, command string) error {
	a, err := p.ask(role, command)
	if err != nil {
		return p.silent(role, 0, err)
	}
	if a != "ok" {
		p.find(scenario.CheckContract, role, 0, "answered %s to %q", contract.Quote(a), command)
		return errSessionOver
	}
	if command == "end" {
		p.forget(role)
	}
	return nil
}

// forget lets go of the numbers of the case that the peer has, which it is told to close.
func (p *play) forget(role scenario.Role) {
	for _, n := range slices.Concat(p.given[role], slices.Collect(maps.Values(p.bound[role]))) {
		delete(p.sides[role].live, n)
	}
}

func (p *play) say(st scenario.Step) error {
	command, err := p.number(st)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	p.note(fmt.Sprintf("%s>%s %s", st.Role, scenario.Async(st), command))
	l, _ := contract.ParseLine(command)
	p.spent = p.spent || l.Verb == "setuid"
	if l.Verb == "end" {
		p.forget(st.Role)
	} else if l.Verb == "close" {
		for _, item := range l.List("fds") {
			n, _ := strconv.Atoi(item)
			delete(p.sides[st.Role].live, n)
		}
	}
	if err := p.sides[st.Role].Say(p.ctx, command, p.timeout); err != nil {
		return p.silent(st.Role, st.Line, err)
	}
	p.sends[st.Role] = p.sends[st.Role] || l.Verb != "recv" && l.Verb != "close"
	p.asked[st.Role], p.said[st.Role] = l.Verb, command
	p.both = p.both || len(p.asked) > 1
	return nil
}

// number puts the peer's numbers in the place of names, and what holds for this
// case in the place of what a transcript calls it.
func (p *play) number(st scenario.Step) (string, error) {
	text, err := scenario.MapNames(st.Text, func(name string) (int, error) { return p.lookup(st.Role, name) })
	if err != nil || !p.k.c.Scenario.RunnerPlays(st.Role) {
		return text, err
	}
	return p.realNames(text)
}

func (p *play) lookup(role scenario.Role, name string) (int, error) {
	if n, err := strconv.ParseInt(name, 0, 64); err == nil {
		return int(n), nil
	}
	if n, ok := p.bound[role][name]; ok {
		return n, nil
	}
	if f := p.file(name); f != nil && f.Owner == role {
		return f.Number, nil
	}
	return 0, fmt.Errorf("%s has no %q", role, name)
}

func (p *play) file(name string) *witness.File {
	for _, f := range slices.Concat(p.k.files, p.k.ends, p.made) {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (p *play) hear(st scenario.Step) error {
	a, err := p.listen(st)
	if next, ok := p.refuted(st); ok && errors.Is(err, process.ErrHang) {
		// Nobody waits in vain for what the other says that it did not do.
		return p.hear(next)
	}
	if errors.Is(err, process.ErrHang) && p.gaveUp(st) {
		return errAbort
	}
	if err != nil {
		return p.silent(st.Role, st.Line, err)
	}
	verb := p.asked[st.Role]
	delete(p.asked, st.Role)
	p.note(fmt.Sprintf("%s<%s %s", st.Role, scenario.Async(st), a))
	if a == "unsupported" && p.plain(st.Role) && !p.refused[st.Role] {
		p.find(scenario.CheckContract, st.Role, st.Line, "answered unsupported to %q, which its can= offers", p.said[st.Role])
		return errAbort
	}
	if a == "unsupported" {
		return p.unsupported(st.Role)
	}
	a = p.symbolicNames(a)
	got, numbers, err := contract.ParseAnswer(kernel.Vocabulary, verb, a)
	p.received(st.Role, st.Line, numbers)
	if err != nil {
		p.find(scenario.CheckContract, st.Role, st.Line, "%v", err)
		return errSessionOver // who knows what it answers next, and to what
	}
	var wrong []string
	named := false         // an alternative that fits names the errno
	var fitting [][]string // the names of the alternatives that fit but perhaps for their files
	for _, w := range st.Wants {
		want, err := p.wanted(w, st.Role)
		if err != nil {
			return p.notRun("line %d: %v", st.Line, err)
		}
		names, why := want.Match(got)
		if why == "" {
			why = p.surplus(st, got)
		}
		if why == "" {
			fitting = append(fitting, names)
			named = named || len(w.Line.Words) > 0 && w.Line.Words[0] != "lib"
		}
		wrong = append(wrong, why)
	}
	gone := slices.Contains([]string{"ECONNRESET", "EPIPE"}, strings.Join(got.Words, " ")) // a library may give the connection up
	p.refused[st.Role] = p.refused[st.Role] || len(fitting) > 0 && got.Verb == "err" && (!named || gone)
	switch len(fitting) {
	case 0:
	case 1:
		return p.checkReceived(st, fitting[0], numbers)
	default:
		i := slices.IndexFunc(fitting, func(names []string) bool { return p.holdsAll(st.Role, names, numbers) })
		return p.checkReceived(st, fitting[max(i, 0)], numbers)
	}
	if p.k.c.Scenario.RunnerPlays(st.Role) && noRoom(got) {
		return p.notRun("line %d: the runner's side answered %s", st.Line, contract.Quote(a))
	}
	ended := got.Verb == "err" || got.Fields["n"] == "0" && got.Fields["payload"] == "-"
	if ended && p.gaveUp(st) {
		return errAbort
	}
	p.find(scenario.CheckAnswer, st.Role, st.Line, "%s", p.difference(st, a, wrong))
	return errAbort
}

// unsupported ends a case for which a peer has no interface.
func (p *play) unsupported(role scenario.Role) error {
	p.result.Verdict = scenario.Unsupported
	p.result.Why = p.k.c.Peer(role).Name + ": answered unsupported"
	return errAbort
}

// gaveUp reports whether the peer opposite, whose library has refused something, is done with
// the connection: it answers unsupported to its next send or receive. A peer that finds the
// connection closed then, or waits in vain, has done nothing wrong.
func (p *play) gaveUp(st scenario.Step) bool {
	other := opposite(st.Role)
	steps := p.k.c.Scenario.Steps
	i := slices.IndexFunc(steps, func(s scenario.Step) bool {
		return s.Role == other && s.Line > st.Line && (s.Command.Verb == "send" || s.Command.Verb == "recv")
	})
	if _, asked := p.asked[other]; asked || i < 0 || !p.refused[other] {
		return false
	}
	command, err := p.number(steps[i])
	if err != nil {
		return false // it names what the peer has not received
	}
	if a, err := p.ask(other, command); err != nil || a != "unsupported" {
		p.asked[other] = steps[i].Command.Verb // what it may have received is not tracked: the session is over
		return false
	}
	_ = p.unsupported(other)
	return true
}

// surplus returns why an answer of the runner's side is wrong if the kernel truncated the
// message, and no alternative of the line has that. The side has the scenario's room: the
// peer opposite has sent more than the scenario says.
func (p *play) surplus(st scenario.Step, got contract.Line) string {
	if p.k.c.Peer(st.Role).Name != scenario.RunnerName || p.k.c.A == p.k.c.B {
		return ""
	}
	for _, flag := range got.List("flags") {
		truncated := flag == "ctrunc" || flag == "trunc"
		if truncated && !slices.ContainsFunc(st.Wants, func(w scenario.Want) bool { return slices.Contains(w.Line.List("flags"), flag) }) {
			return "more was sent: the kernel reports " + flag
		}
	}
	return ""
}

// plain tells whether the last command was to pass one open descriptor with a few bytes,
// which is what a can= says that says nothing else.
func (p *play) plain(role scenario.Role) bool {
	l, _ := contract.ParseLine(p.said[role])
	if len(l.Words) > 0 || len(l.Fields) != 2 {
		return false
	}
	switch n, err := strconv.Atoi(l.Fields["fds"]); l.Verb {
	case "send":
		payload := l.Fields["payload"]
		return err == nil && p.sides[role].has(n) && len(payload) > 1 && !strings.ContainsAny(payload, "@,")
	case "recv":
		bytes, err := strconv.Atoi(l.Fields["bytes"])
		return err == nil && bytes > 0 && n == 1
	}
	return false
}

// How long the runner waits for an answer that is expected not to come, and between two looks
// at whether one can still come.
const (
	expectedHang = 300 * time.Millisecond
	shortestWait = 50 * time.Millisecond
)

// listen waits for an answer. Where the other side has given one that is not expected, it is
// enough that this one sleeps: nobody is at work who could wake it.
func (p *play) listen(st scenario.Step) (string, error) {
	sd := p.sides[st.Role]
	if p.hangs(p.k.c, st.Role) {
		return sd.Hear(p.ctx, min(expectedHang, p.timeout))
	}
	if len(p.asked) < 2 {
		return sd.Hear(p.ctx, p.timeout)
	}
	for deadline := time.Now().Add(p.timeout); ; {
		a, err := sd.Hear(p.ctx, min(shortestWait, p.timeout))
		if !errors.Is(err, process.ErrHang) || time.Now().After(deadline) {
			return a, err
		}
		idle, _ := sd.IsIdle()
		if _, wrong := p.refuted(st); wrong && idle {
			return sd.Hear(p.ctx, shortestWait) // what it may have said before it slept
		}
	}
}

// refuted tells whether the other side has given an answer already that its line does
// not have, and which line that is.
func (p *play) refuted(st scenario.Step) (next scenario.Step, wrong bool) {
	other := opposite(st.Role)
	i := slices.IndexFunc(p.k.c.Scenario.Steps, func(s scenario.Step) bool {
		return s.Role == other && s.Kind == scenario.StepHear && s.Line > st.Line
	})
	if _, asked := p.asked[other]; !asked || i < 0 || !p.sides[other].Answered() {
		return next, false
	}
	next = p.k.c.Scenario.Steps[i]
	text, err := p.sides[other].Peek(p.ctx, shortestWait)
	if errors.Is(err, process.ErrHang) {
		return next, false
	}
	got, _, e := contract.ParseAnswer(kernel.Vocabulary, p.asked[other], p.symbolicNames(text))
	return next, err != nil || e != nil || !slices.ContainsFunc(next.Wants, func(w scenario.Want) bool {
		want, err := p.wanted(w, other)
		if err != nil {
			return true // its line tells of that
		}
		_, why := want.Match(got)
		return why == ""
	})
}

// received takes the numbers of an answer into account, so that they are not
// leaks, whatever else is wrong with it.
func (p *play) received(role scenario.Role, line int, numbers []int) {
	sd := p.sides[role]
	wrong := wrongFiles{p: p, role: role, line: line}
	said := map[int]bool{}
	for _, n := range numbers {
		if sd.has(n) || n < 0 || sd.std[n] || said[n] {
			wrong.find("said that it received %d, which it had already", n)
		}
		said[n] = true
	}
	wrong.end()
	for _, n := range numbers {
		id, err := witness.Identify(sd.Pid, n)
		if !sd.has(n) && (err == nil || witness.CannotLook(sd.Pid, err)) { // what is not open cannot be closed later
			sd.live[n] = tracked{Identity: id, known: err == nil}
			for _, f := range slices.Concat(p.k.files, p.k.ends, p.made) {
				f.Reused = f.Reused || f.Owner == role && f.Number == n
			}
		}
		p.bound[role][strconv.Itoa(n)] = n
	}
}

// wrongFiles are those of one answer, of which a few are told one by one.
type wrongFiles struct {
	p     *play
	role  scenario.Role
	line  int
	count int
}

const mostWrong = 3

func (w *wrongFiles) find(format string, args ...any) {
	if w.count++; w.count <= mostWrong {
		w.p.find(scenario.CheckFile, w.role, w.line, format, args...)
	}
}

func (w *wrongFiles) end() {
	if w.count > mostWrong {
		w.p.find(scenario.CheckFile, w.role, w.line, "%d more are not what the answer says", w.count-mostWrong)
	}
}

// holdsAll tells whether the numbers are the files of these names.
func (p *play) holdsAll(role scenario.Role, names []string, numbers []int) bool {
	for i, name := range names {
		name, _, _ = strings.Cut(name, ":")
		if name == scenario.NewName {
			continue
		}
		f := p.file(name)
		if f == nil {
			return false
		}
		if holds, _, err := p.witness.Holds(f, p.sides[f.Owner].Pid, p.sides[role].Pid, numbers[i]); err != nil || !holds {
			return false
		}
	}
	return true
}

// checkReceived asks the kernel about each descriptor that an answer reported. The error is
// that the runner may not look.
func (p *play) checkReceived(st scenario.Step, names []string, numbers []int) error {
	sd := p.sides[st.Role]
	wrong := wrongFiles{p: p, role: st.Role, line: st.Line}
	defer wrong.end()
	find := wrong.find
	for i, name := range names {
		n := numbers[i]
		name, as, ok := strings.Cut(name, ":")
		if !ok {
			as = name
		}
		p.bound[st.Role][as] = n
		if name == scenario.NewName {
			switch err := p.make(st.Role, as, n); {
			case witness.CannotLook(sd.Pid, err):
				return p.unseen(st.Role, err)
			case err != nil:
				find("%d is not open: %v", n, err)
			}
			continue
		}
		f := p.file(name)
		if f == nil {
			find("the scenario has no file %q", name)
			continue
		}
		holds, _, err := p.witness.Holds(f, p.sides[f.Owner].Pid, sd.Pid, n)
		switch {
		case witness.CannotLook(sd.Pid, err):
			return p.unseen(st.Role, err)
		case err != nil:
			find("%d is not open: %v", n, err)
			continue
		case !holds:
			find("%d is not the open file description of %s", n, name)
			continue
		}
		if sd.has(n) {
			sd.live[n] = tracked{file: f, Identity: f.Identity, known: true}
		}
		info, err := witness.FDInfo(sd.Pid, n)
		switch {
		case witness.CannotLook(sd.Pid, err):
			return p.unseen(st.Role, err)
		case err != nil:
			find("%d: %v", n, err)
			continue
		}
		if said, _ := contract.ParseLine(p.said[st.Role]); slices.Contains(said.List("flags"), kernel.Inherit) {
			continue // it was told so
		}
		p.result.CloexecChecked[p.k.c.Peer(st.Role).Name] = true
		if !info.Cloexec() {
			p.find(scenario.CheckCloexec, st.Role, 0, "what it receives is not close-on-exec")
		}
	}
	return nil
}

// silent is a finding about a peer that gave no answer; its session is over.
func (p *play) silent(role scenario.Role, line int, err error) error {
	var contract *process.ContractError
	switch {
	case errors.Is(err, process.ErrCut), p.ctx.Err() != nil: // then the runner itself may have killed it
		return process.ErrCut
	case errors.Is(err, process.ErrLong):
		_ = p.notRun("line %d: the command to %s is %v with its numbers", line, p.k.c.Peer(role).Name, err)
	case errors.As(err, &contract) && p.k.c.Scenario.RunnerPlays(role):
		_ = p.notRun("line %d: the answer of %s is %.80s", line, p.k.c.Peer(role).Name, err)
	case errors.As(err, &contract):
		p.note(fmt.Sprintf("%s< %s", role, contract.Text))
		p.find(scenario.CheckContract, role, line, "%v", err)
	case errors.Is(err, process.ErrHang) && slices.Contains(p.signals[role], unix.SIGSTOP):
		_ = p.notRun("%s: stopped by the runner's own SIGSTOP", p.k.c.Peer(role).Name)
	case errors.Is(err, process.ErrHang):
		p.find(scenario.CheckHang, role, line, "%v", p.sides[role].Explain(err))
	case slices.ContainsFunc(p.signals[role], p.sides[role].EndedBy):
		_ = p.notRun("%s: ended by the runner's own signal: %v", p.k.c.Peer(role).Name, p.sides[role].Close())
	default:
		p.find(scenario.CheckCrash, role, line, "%v", p.sides[role].Explain(err))
	}
	return errSessionOver
}

// difference shows an answer beside those that were expected.
func (p *play) difference(st scenario.Step, a string, wrong []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "answered %s", contract.Quote(a))
	for i, w := range st.Wants {
		fmt.Fprintf(&b, "\nexpected %s (%s)", w.Text, wrong[i])
	}
	return b.String()
}

// noRoom tells whether an answer of the runner's own side is that the file system has no
// room, which no scenario sees to.
func noRoom(got contract.Line) bool {
	errnos := []string{"ENOSPC", "EDQUOT", "EROFS", "ENFILE"}
	return got.Verb == "err" && len(got.Words) > 0 && slices.Contains(errnos, contract.ErrnoName(got.Words[0]))
}
