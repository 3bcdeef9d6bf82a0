package interop

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A play is a case being played.
type play struct {
	*session
	k         *kit
	sides     map[Role]*side
	bound     map[Role]map[string]int // received numbers by the names of their files
	given     map[Role][]int          // the case's numbers in the peer
	asked     map[Role]string         // the verb of what is not answered yet
	said      map[Role]string         // the last command
	made      []*caseFile             // what the runner's sides have made in the case
	result    Result
	limits    map[*side]unix.Rlimit // the peers' own, while they have another
	convicted map[held]bool         // leaks that are found already
	states    map[*caseFile]state   // how the files were when somebody could last have changed them rightly
	leaked    map[*caseFile]bool    // and of which files
	changed   map[*caseFile]changer // who has changed the state of a file, and should not have
	both      bool                  // whether both were at work since the states were noted
	early     map[Role]early        // answers that came before their lines did
	dead      map[Role]bool         // whom the runner has killed
	receives  map[Role]bool         // who was told to receive
	over      bool                  // the transcript has ended
	spent     bool                  // a side is not what it was: the session is over after this case
}

// errAbort ends a case whose finding is made.
var errAbort = errors.New("the case is decided")

// play plays one case. An error means that the session is over.
func (s *session) play(k *kit, first Case) (Result, error) {
	p := &play{
		session:   s,
		k:         k,
		sides:     map[Role]*side{},
		bound:     map[Role]map[string]int{RoleA: {}, RoleB: {}},
		given:     map[Role][]int{},
		asked:     map[Role]string{},
		said:      map[Role]string{},
		limits:    map[*side]unix.Rlimit{},
		convicted: map[held]bool{},
		leaked:    map[*caseFile]bool{},
		changed:   map[*caseFile]changer{},
		receives:  map[Role]bool{},
		early:     map[Role]early{},
		dead:      map[Role]bool{},
		result:    Result{Name: k.c.Name(), Hash: k.c.Scenario.Hash, Case: k.c, Verdict: Pass, judged: map[string]bool{}},
	}
	for _, role := range []Role{RoleA, RoleB} {
		p.sides[role] = s.side[s.seat(first, k.c, role)]
		p.given[role] = []int{k.sock[role]}
		for _, f := range k.files {
			if f.Owner == role {
				p.given[role] = append(p.given[role], f.number)
			}
		}
	}
	err := p.run()
	k.close()
	if len(p.result.Findings) > 0 {
		p.result.Verdict = Fail
	}
	if err != nil && !errors.Is(err, errAbort) {
		return p.result, err
	}
	return p.result, nil
}

// run plays the transcript, and ends the case at both peers whatever came.
func (p *play) run() error {
	p.states = p.k.states
	for _, role := range []Role{RoleA, RoleB} {
		for _, n := range p.given[role] {
			delete(p.sides[role].pool, n)
		}
		p.sides[role].sock = p.k.sock[role]
		use := fmt.Sprintf("use sock=%d fds=%s", p.k.sock[role], joinNumbers(p.given[role][1:]))
		if err := p.expectOK(role, use); err != nil {
			return err
		}
		p.compareStates(role, 0)
		p.noteStates()
	}
	dir, err := p.enterDir()
	if dir != "" {
		defer os.RemoveAll(dir) // what is left is the run's to remove
	}
	if err == nil {
		err = p.steps()
	}
	p.over = true
	p.restoreLimits()
	if err != nil && !errors.Is(err, errAbort) {
		return err
	}
	if len(p.asked) > 0 {
		return errSessionOver // the answer to come would be taken for one to "end"
	}
	for _, role := range []Role{RoleA, RoleB} {
		if p.dead[role] {
			continue
		}
		p.judgeHeld(role, 0, false)
		if err := p.judgeLeaks(role, 0, false); err != nil {
			return err
		}
		if err := p.expectOK(role, "end"); err != nil {
			return err
		}
		p.judgeHeld(role, 0, true)
		p.judgeStates(role, 0)
		if err := p.judgeLeaks(role, 0, true); err != nil {
			return err
		}
	}
	if e := p.judgeHolders(); e != nil {
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
	if !p.k.c.Scenario.usesPaths() {
		return "", nil
	}
	if dir, err = p.area.caseDir(); err != nil {
		return "", p.notRun("%v", err)
	}
	for _, role := range []Role{RoleA, RoleB} {
		if !p.k.c.Scenario.runs(role) {
			continue
		}
		command := "chdir path=" + dir
		p.note(fmt.Sprintf("%s> %s", role, command))
		a, err := p.sides[role].ask(p.ctx, command, p.timeout)
		if err != nil {
			return dir, p.silent(role, 0, err)
		}
		p.note(fmt.Sprintf("%s< %s", role, a))
		if a != "ok" {
			return dir, p.notRun("the runner's side cannot go to the folder of the case: %s to %q", quote(a), command)
		}
	}
	return dir, nil
}

func (p *play) steps() error {
	for _, st := range p.k.c.Scenario.Steps {
		switch {
		case st.Role == RoleR:
			p.note("R> " + st.Text)
			if err := p.runnerStep(st); err != nil {
				return err
			}
			p.noteStates()
		case st.Kind == StepSay:
			if err := p.say(st); err != nil {
				return err
			}
		default:
			if err := p.hear(st); err != nil {
				return err
			}
			p.judgeHeld(st.Role, st.Line, false)
			// Somebody who is still to answer may have received and not told yet.
			if len(p.asked) > 0 {
				continue
			}
			p.judgeStates(st.Role, st.Line)
			if !p.sides[st.Role].peer.Hello.GC {
				if err := p.judgeLeaks(st.Role, st.Line, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *play) note(l string) { p.result.Transcript = append(p.result.Transcript, l) }

func (p *play) find(check Check, role Role, line int, format string, args ...any) {
	p.add(Finding{Check: check, Peer: p.k.c.peer(role).Name, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (p *play) add(f Finding) {
	if !slices.Contains(p.result.Findings, f) {
		p.result.Findings = append(p.result.Findings, f)
	}
}

// expectOK says what the contract alone asks for.
func (p *play) expectOK(role Role, command string) error {
	p.note(fmt.Sprintf("%s> %s", role, command))
	a, err := p.sides[role].ask(p.ctx, command, p.timeout)
	if err != nil {
		return p.silent(role, 0, err)
	}
	p.note(fmt.Sprintf("%s< %s", role, a))
	if a != "ok" {
		p.find(CheckContract, role, 0, "answered %s to %q", quote(a), command)
		return errSessionOver
	}
	if command == "end" {
		for _, n := range p.given[role] {
			delete(p.sides[role].live, n)
		}
		for _, n := range p.bound[role] {
			delete(p.sides[role].live, n)
		}
		p.given[role], p.bound[role] = nil, map[string]int{}
		p.sides[role].sock = -1
	}
	return nil
}

func (p *play) say(st Step) error {
	command, err := p.number(st)
	if err != nil {
		return p.notRun("line %d: %v", st.Line, err)
	}
	p.note(fmt.Sprintf("%s>%s %s", st.Role, async(st), command))
	l, _ := parseLine(command)
	p.spent = p.spent || l.verb == "setuid"
	if l.verb == "end" {
		for _, n := range p.given[st.Role] {
			delete(p.sides[st.Role].live, n)
		}
		for _, n := range p.bound[st.Role] {
			delete(p.sides[st.Role].live, n)
		}
	} else if l.verb == "close" {
		for _, item := range l.list("fds") {
			n, _ := strconv.Atoi(item)
			delete(p.sides[st.Role].live, n)
		}
	}
	if err := p.sides[st.Role].say(p.ctx, command, p.timeout); err != nil {
		return p.silent(st.Role, st.Line, err)
	}
	p.receives[st.Role] = p.receives[st.Role] || l.verb != "send" && l.verb != "close"
	p.asked[st.Role], p.said[st.Role] = l.verb, command
	p.both = p.both || len(p.asked) > 1
	return nil
}

// number puts the peer's numbers in the place of names, and what holds for this
// case in the place of what a transcript calls it.
func (p *play) number(st Step) (string, error) {
	text, err := mapNames(st.Text, func(names []string) ([]string, error) {
		var numbers []string
		for _, name := range names {
			n, err := p.lookup(st.Role, name)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, strconv.Itoa(n))
		}
		return numbers, nil
	})
	if err != nil || !p.k.c.Scenario.runs(st.Role) {
		return text, err
	}
	return p.world(text)
}

func (p *play) lookup(role Role, name string) (int, error) {
	if n, err := strconv.ParseInt(name, 0, 64); err == nil {
		return int(n), nil
	}
	if n, ok := p.bound[role][name]; ok {
		return n, nil
	}
	if f := p.file(name); f != nil && f.Owner == role {
		return f.number, nil
	}
	return 0, fmt.Errorf("%s has no %q", role, name)
}

func (p *play) file(name string) *caseFile {
	for _, f := range slices.Concat(p.k.files, p.k.ends, p.made) {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (p *play) hear(st Step) error {
	a, err := p.listen(st)
	if next, ok := p.refuted(st); ok && errors.Is(err, errHang) {
		// Nobody waits in vain for what the other says that it did not do.
		p.sides[st.Role].wake()
		return p.hear(next)
	}
	if err != nil {
		return p.silent(st.Role, st.Line, err)
	}
	verb := p.asked[st.Role]
	delete(p.asked, st.Role)
	p.note(fmt.Sprintf("%s<%s %s", st.Role, async(st), a))
	if a == "unsupported" && p.plain(st.Role) {
		p.find(CheckContract, st.Role, st.Line, "answered unsupported to %q, which is what its can= says", p.said[st.Role])
		return errAbort
	}
	if a == "unsupported" {
		p.result.Verdict = Unsupported
		p.result.Why = p.k.c.peer(st.Role).Name + ": answered unsupported"
		return errAbort
	}
	a = p.unworld(a)
	got, numbers, err := parseAnswer(verb, a)
	p.received(st.Role, st.Line, numbers)
	if err != nil {
		p.find(CheckContract, st.Role, st.Line, "%v", err)
		return errSessionOver // who knows what it answers next, and to what
	}
	var wrong []string
	for _, w := range st.Wants {
		want, err := p.wanted(w, st.Role)
		if err != nil {
			return p.notRun("line %d: %v", st.Line, err)
		}
		names, why := want.match(got)
		if why == "" {
			return p.judge(st, names, numbers)
		}
		wrong = append(wrong, why)
	}
	if p.k.c.Scenario.runs(st.Role) && noRoom(got) {
		return p.notRun("line %d: the runner's side answered %s", st.Line, quote(a))
	}
	p.find(CheckAnswer, st.Role, st.Line, "%s", p.difference(st, a, wrong))
	return errAbort
}

// plain tells whether the last command was to pass one open descriptor with a few bytes,
// which is what a can= says that says nothing else.
func (p *play) plain(role Role) bool {
	l, _ := parseLine(p.said[role])
	if len(l.words) > 0 || len(l.fields) != 2 {
		return false
	}
	switch n, err := strconv.Atoi(l.fields["fds"]); l.verb {
	case "send":
		payload := l.fields["payload"]
		return err == nil && p.sides[role].has(n) && len(payload) > 1 && !strings.ContainsAny(payload, "@,")
	case "recv":
		bytes, err := strconv.Atoi(l.fields["bytes"])
		return err == nil && bytes > 0 && n == 1
	}
	return false
}

// An early answer is one that was read before its line: so far, another is waited for.
type early struct {
	text string
	err  error
}

// listen waits for an answer. Where it is expected that none comes, or the other side
// has given an answer that is not expected, it is enough that everybody sleeps who was
// asked: nobody is at work who could wake another.
func (p *play) listen(st Step) (string, error) {
	if e, ok := p.early[st.Role]; ok {
		delete(p.early, st.Role)
		return e.text, e.err
	}
	sd := p.sides[st.Role]
	hangs := p.hangs(p.k.c, st.Role)
	if !hangs && len(p.asked) < 2 {
		return sd.hear(p.ctx, p.timeout)
	}
	deadline := time.Now().Add(p.timeout)
	for {
		a, err := sd.hear(p.ctx, min(look, p.timeout))
		p.hearEarly(st.Role)
		if !errors.Is(err, errHang) || time.Now().After(deadline) {
			return a, err
		}
		if _, wrong := p.refuted(st); (hangs || wrong) && p.allWait() {
			// What it may have said before it slept is on its way.
			return sd.hear(p.ctx, look)
		}
	}
}

// hearEarly reads the answer of the other side, if it was asked and has answered.
func (p *play) hearEarly(but Role) {
	for role := range p.asked {
		if _, ok := p.early[role]; ok || role == but || len(p.sides[role].answers) == 0 {
			continue
		}
		text, err := p.sides[role].hear(p.ctx, look)
		p.early[role] = early{text, err}
	}
}

// refuted tells whether the other side has given an answer already that its line does
// not have, and which line that is.
func (p *play) refuted(st Step) (next Step, wrong bool) {
	for role, e := range p.early {
		i := slices.IndexFunc(p.k.c.Scenario.Steps, func(s Step) bool {
			return s.Role == role && s.Kind == StepHear && s.Line > st.Line
		})
		if role == st.Role || i < 0 {
			continue
		}
		next = p.k.c.Scenario.Steps[i]
		got, _, err := parseAnswer(p.asked[role], p.unworld(e.text))
		if e.err != nil || err != nil {
			return next, true
		}
		return next, !slices.ContainsFunc(next.Wants, func(w Want) bool {
			want, err := p.wanted(w, role)
			if err != nil {
				return true // its line tells of that
			}
			_, why := want.match(got)
			return why == ""
		})
	}
	return next, false
}

// allWait tells whether nobody who was asked does anything any more.
func (p *play) allWait() bool {
	for role := range p.asked {
		sd := p.sides[role]
		if sd.pid == os.Getpid() {
			return false // nobody can tell
		}
		if _, ok := p.early[role]; ok || len(sd.answers) > 0 {
			continue
		}
		if read, err := sd.hasRead(); err != nil || !read {
			return false
		}
		if asleep, err := sleeps(sd.pid); err != nil || !asleep {
			return false
		}
	}
	return true
}

// look is how long an answer takes at least to be missed.
const look = 50 * time.Millisecond

// received takes the numbers of an answer into account, so that they are not
// leaks, whatever else is wrong with it.
func (p *play) received(role Role, line int, numbers []int) {
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
		id, err := identify(sd.thread(), n)
		if !sd.has(n) && (err == nil || cannotLook(sd.pid, err)) { // what is not open cannot be closed later
			sd.live[n] = kept{identity: id, known: err == nil}
		}
		p.bound[role][strconv.Itoa(n)] = n
	}
}

// wrongFiles are those of one answer, of which a few are told one by one.
type wrongFiles struct {
	p     *play
	role  Role
	line  int
	count int
}

const mostWrong = 3

func (w *wrongFiles) find(format string, args ...any) {
	if w.count++; w.count <= mostWrong {
		w.p.find(CheckFile, w.role, w.line, format, args...)
	}
}

func (w *wrongFiles) end() {
	if w.count > mostWrong {
		w.p.find(CheckFile, w.role, w.line, "%d more are not what the answer says", w.count-mostWrong)
	}
}

// judge asks the kernel about each number that an answer named a file for. The error is
// that the runner may not look.
func (p *play) judge(st Step, names []string, numbers []int) error {
	sd := p.sides[st.Role]
	thread := sd.thread()
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
		if name == newName {
			if err := p.make(st.Role, as, n); err != nil {
				find("%d is not open: %v", n, err)
			}
			continue
		}
		f := p.file(name)
		if f == nil {
			find("the scenario has no file %q", name)
			continue
		}
		holds, _, err := p.witness.holds(f, p.sides[f.Owner].thread(), thread, n)
		switch {
		case cannotLook(sd.pid, err):
			return p.unseen(st.Role, err)
		case err != nil:
			find("%d is not open: %v", n, err)
			continue
		case !holds:
			find("%d is not the open file description of %s", n, name)
			continue
		}
		if sd.has(n) {
			sd.live[n] = kept{file: f, identity: f.identity, known: true}
		}
		info, err := fdInfo(thread, n)
		switch {
		case cannotLook(sd.pid, err):
			return p.unseen(st.Role, err)
		case err != nil:
			find("%d: %v", n, err)
			continue
		}
		if strings.HasSuffix(p.said[st.Role], "inherit") {
			continue // it was told so
		}
		p.result.judged[p.k.c.peer(st.Role).Name] = true
		if !info.cloexec() {
			p.find(CheckCloexec, st.Role, 0, "what it receives is not close-on-exec")
		}
	}
	return nil
}

// silent is a finding about a peer that gave no answer; its session is over.
func (p *play) silent(role Role, line int, err error) error {
	var contract *contractError
	switch {
	case errors.Is(err, errCut):
		return errCut
	case errors.As(err, &contract):
		p.note(fmt.Sprintf("%s< %s", role, contract.text))
		p.find(CheckContract, role, line, "%v", err)
	case errors.Is(err, errHang):
		p.sides[role].wake()
		p.find(CheckHang, role, line, "%v", p.sides[role].explain(err))
	default:
		p.find(CheckCrash, role, line, "%v", p.sides[role].explain(err))
	}
	return errSessionOver
}

// difference shows an answer beside those that were expected.
func (p *play) difference(st Step, a string, wrong []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "answered %s", quote(a))
	for i, w := range st.Wants {
		fmt.Fprintf(&b, "\nnot %s (%s)", w.Text, wrong[i])
	}
	return b.String()
}

func joinNumbers(numbers []int) string {
	if len(numbers) == 0 {
		return "-"
	}
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
