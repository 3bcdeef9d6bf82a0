package judge

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/fact"
	"github.com/scm-rights/scm/interop/scenario"
)

const roleA, roleB = scenario.RoleA, scenario.RoleB

// rule is the beginning of every transcript of these tests: the rule and its source.
const rule = "# What must hold.\n# Where that comes from.\n"

// passOne passes one descriptor.
const passOne = rule + "on stream\nfiles a=file b=file\nA> send payload=00 fds=a\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n"

func mustParse(t testing.TB, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("group/id", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A game runs a transcript without processes. Each side is started with descriptor 3, its socket, and its files after
// it, in the order of the scenario, and with the descriptors 90 and 91 for a later case.
//
// The lines of the script are what happens. A line is an answer, B< ok n=1, one of B< (silent), B< (gone), B< (broken)
// and A> (unsent), or what a line of the runner's own found, R> TEXT. If it is about the other side than the next
// answer of the transcript, it comes out of turn, because this side waits in vain. use A is what the runner sees when
// the case begins, look A and end A before and after it has sent "end", to which a side can answer otherwise than ok:
// end A no, or end A (gone). settle A is an answer before that, or (gone), to a command that was pending when the case
// was over. after is what it finds then. What changes is behind a bar:
//
//	7=a        7 is the open file description of a, close-on-exec; 7=a! not close-on-exec, 7=a? if only the
//	           inode is known, 7=a~ if its flags are not known
//	7=         7 is open and no file of the case
//	7!=a       7 refers to a now, and to something else before; 7!= to no file of the case
//	-7         7 is closed; for a descriptor that the answer names, it is not open
//	a:9        a is at offset 9 and was at 0;  a:O_NONBLOCK has these flags and had none
//	unseen     the runner may not look
//	no-user    the user of B is not known; otherwise A and B are 7,8,9 and 17,18,19
//	exited     the process has ended
//	cannot     the runner cannot do what a line needs
//	held=a     a is open without a descriptor; held=a/A until A ended
//	at=500     milliseconds since the case began
//
// If there is no look or end for a side, it closes everything as it should.
type game struct {
	*testing.T
	*judge
	script  []string
	asked   []string // what the judge has requested beyond the lines of the transcript
	record  *Record
	changes string // of the last line of the script, which are not seen yet
	whole   bool   // the transcript was run to its end
	ends    []bool // whether the answer that is being judged should end the case; empty if there is none
}

// setupOf returns what is known before a case between two peers.
func setupOf(s *scenario.Scenario, a, b *scenario.Peer) Setup {
	c := scenario.Case{Scenario: s, Type: s.Types[0], A: a, B: b}
	setup := Setup{Case: c, Processes: map[scenario.Role]*Process{}, Given: map[scenario.Role][]fact.Descriptor{}, Timeout: time.Second, Prefix: "p.", Record: &Record{}}
	for _, role := range roles {
		files := []scenario.FileSpec{{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}}
		for _, f := range s.Files {
			if f.Owner == role {
				files = append(files, f)
			}
		}
		pool := []int{90, 91}
		for i, f := range files {
			m := fact.Match{File: fact.File{Name: f.Name, Owner: f.Owner, Socket: f.Kind == "sock"}, Sure: true}
			setup.Given[role] = append(setup.Given[role], fact.Descriptor{Side: role, FD: 3 + i, Given: true, Files: []fact.Match{m}})
			pool = append(pool, 3+i)
		}
		setup.Processes[role] = NewProcess(pool, 0, 1, 2)
	}
	return setup
}

// newGame returns a game between two peers.
func newGame(t *testing.T, s *scenario.Scenario, a, b *scenario.Peer, script string) *game {
	setup := setupOf(s, a, b)
	g := &game{T: t, record: setup.Record}
	g.judge = newJudge(setup, g)
	for l := range strings.Lines(script) {
		if l = strings.TrimSpace(l); l != "" {
			g.script = append(g.script, l)
		}
	}
	return g
}

// judgeAll is what Run does.
func (g *game) judgeAll() (Found, error) {
	err := g.transcript()
	g.whole = err == nil
	return g.finish(err)
}

// run runs the case to its end.
func (g *game) run() {
	_, err := g.judgeAll()
	g.checkEnds(nil)
	if err == ErrSessionOver && !g.spent {
		g.asked = append(g.asked, "end session")
	} else if err != nil && err != ErrSessionOver || len(g.script) > 0 {
		g.Errorf("%v; not used: %q", err, g.script)
	}
}

// CarryOut returns the fact that the script has for a request.
func (g *game) CarryOut(_ Found, do Request) (any, error) {
	g.checkEnds(do)
	role, found := do.at().Role, ""
	switch do := do.(type) {
	case Send:
		if len(g.script) == 0 || !strings.HasPrefix(g.script[0], role.String()+">") {
			return fact.Sent{Side: role, Text: do.Text}, nil
		}
		return g.line(role.String()+">", role, scenario.Step{}), nil
	case Ask:
		verb, _, _ := strings.Cut(do.Text, " ")
		if do.Step.Line > 0 {
			if do.Step.Role != role || verb != "send" && verb != "recv" {
				g.Errorf("%s is asked %q", role, do.Step.Text)
			}
			g.asked = append(g.asked, "ask")
			return g.line(role.String()+"<", role, scenario.Step{}), nil
		}
		said, ok := g.take(verb + " " + role.String())
		if verb == "end" && !ok {
			for _, fd := range g.openFiles(role) {
				g.changes += fmt.Sprintf(" -%d", fd)
			}
		}
		return g.reply(role, cmp.Or(said, "ok")), nil
	case Await:
		if do.Step.Line == 0 {
			return g.line("settle "+role.String(), role, do.Step), nil
		}
		other := role.Other()
		if do.EndsCase == nil || len(g.script) == 0 || !strings.HasPrefix(g.script[0], other.String()+"<") {
			return g.line(role.String()+"<", role, do.Step), nil
		}
		f := g.line(other.String()+"<", other, do.Other) // this side waits in vain
		if a, ok := f.(fact.Answer); ok && len(g.ends) > 0 && do.EndsCase(a) != g.ends[0] {
			g.Errorf("EndsCase(%q): %t", a.Said, !g.ends[0])
		}
		return f, nil
	case AwaitFailure:
		g.asked = append(g.asked, "await")
		return g.line(role.String()+"<", role, do.Step), nil
	case Look:
		if do.Again {
			g.asked = append(g.asked, "look again")
		}
		if do.Again || do.All && !g.sides[role].ended {
			g.take("look " + role.String())
		}
		f, _ := g.change(role, do.Named)
		return f, nil
	case Act:
		found, _ = g.take("R>")
	case Release:
		if !g.whole {
			g.asked = append(g.asked, "end case")
		}
	case Watch:
		g.take("after")
	}
	seen, f := g.change(role, nil)
	f.Found = found
	for _, d := range seen.Descriptors {
		f.Descriptor = &d
	}
	return f, nil
}

// checkEnds checks that an answer ends the case if, and only if, endsCase has said so. do is the first request after it
// that is not a look, or nil.
func (g *game) checkEnds(do Request) {
	if _, looks := do.(Look); looks || len(g.ends) == 0 {
		return
	}
	_, released := do.(Release)
	if over := do == nil || released && !g.whole; over != g.ends[0] && !isOutOfTurn(do) {
		g.Errorf("an answer ends the case: %t, but endsCase: %t", over, g.ends[0])
	}
	g.ends = nil
}

// line returns the next line of the script as a fact. It must begin with a word, but a side that is settled need not
// answer.
func (g *game) line(word string, role scenario.Role, st scenario.Step) any {
	g.Helper()
	text, ok := g.take(word)
	if !ok && st.Line > 0 {
		g.Fatalf("the script has no line for %s at line %d, but %q", role, st.Line, g.script)
	}
	if st.Line > 0 && (st.Role != role || st.Kind != scenario.StepAnswer) {
		g.Errorf("%s is expected to answer at line %d", role, st.Line)
	}
	f := g.reply(role, text)
	if a, ok := f.(fact.Answer); ok && st.Line > 0 && !strings.Contains(g.changes, "unseen") {
		g.ends = []bool{answer{side: g.sides[role], step: st, Answer: a}.endsCase()}
	}
	return f
}

// missing are the words in a script for an answer that is missing.
var missing = map[string]fact.Missing{
	"":          {Why: "no answer in time"},
	"(silent)":  {Why: "no answer in time"},
	"(unasked)": {Why: "no answer in time"},
	"(stopped)": {Why: "no answer in time", Signal: "stopped by the runner's own SIGSTOP"},
	"(gone)":    {Kind: fact.Gone, Why: "the peer ended: exit status 7"},
	"(killed)":  {Kind: fact.Gone, Signal: "ended by the runner's own signal: terminated"},
	"(broken)":  {Kind: fact.Broken, Why: "not text"},
	"(unsent)":  {Kind: fact.Unsent, Why: "longer than 9 bytes"},
}

// reply returns the fact for what a side has answered.
func (g *game) reply(role scenario.Role, text string) any {
	if f, ok := missing[text]; ok {
		f.Side = role
		return f
	}
	a := fact.Answer{Side: role, Said: text, Owners: [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, UID: 18, GID: 19}}}
	if strings.Contains(g.changes, "no-user") {
		a.Owners[1].Err = "no such process"
	}
	return a
}

// take takes the next line of the script if it begins with this word.
func (g *game) take(word string) (said string, ok bool) {
	if g.changes = ""; len(g.script) == 0 {
		return "", false
	}
	if said, ok = strings.CutPrefix(g.script[0], word); !ok {
		return "", false
	}
	g.script = g.script[1:]
	said, g.changes, _ = strings.Cut(said, "|")
	return strings.TrimSpace(said), true
}

// change returns what has changed, also among the descriptors that an answer names.
func (g *game) change(role scenario.Role, named []int) (f fact.Observation, a fact.Acted) {
	f.Side = role
	for word := range strings.FieldsSeq(g.changes) {
		name, now, isState := strings.Cut(word, ":")
		key, value, _ := strings.Cut(word, "=")
		switch {
		case word == "no-user":
		case word == "cannot":
			a.Verdict, a.Why = scenario.Unsupported, "this system cannot"
		case word == "unseen":
			f.Unseen = "permission denied"
		case word == "exited":
			f.Exited = true
		case key == "at":
			n, _ := strconv.Atoi(value)
			f.Time = time.Duration(n) * time.Millisecond
		case key == "held":
			name, until, _ := strings.Cut(value, "/")
			a.Held = &fact.Held{File: g.names[name], Where: "somewhere"}
			if until != "" {
				a.Held.Until = scenario.Role(until[0])
			}
		case strings.HasPrefix(now, "O_"):
			f.States = append(f.States, fact.State{File: g.names[name], What: "status flags", Was: "none", Now: now})
		case isState:
			f.States = append(f.States, fact.State{File: g.names[name], What: fact.Offset, Was: "0", Now: now})
		default:
			f.Descriptors = append(f.Descriptors, g.descriptorOf(role, word, named))
		}
	}
	g.changes = ""
	return f, a
}

// descriptorOf returns a descriptor of a side as the script describes it.
func (g *game) descriptorOf(role scenario.Role, word string, named []int) fact.Descriptor {
	number, closed := strings.CutPrefix(word, "-")
	number, file, _ := strings.Cut(number, "=")
	number, changed := strings.CutSuffix(number, "!")
	fd, err := strconv.Atoi(number)
	if err != nil {
		g.Fatalf("%q is no change", word)
	}
	name := strings.TrimRight(file, "!?~")
	mark := file[len(name):]
	d := fact.Descriptor{Side: role, FD: fd, Closed: closed, Changed: changed, Info: &fact.Info{CloseOnExec: mark != "!"}}
	if mark == "~" {
		d.Info, d.InfoErr = nil, "no such process"
	}
	if closed && slices.Contains(named, fd) {
		d.Closed, d.Err = false, "closed since"
	}
	if name == "pidfd" {
		d.Files = []fact.Match{{File: fact.SenderPidfd, Sure: true}}
	} else if name != "" {
		d.Files = []fact.Match{{File: g.names[name], Way: "kcmp", Sure: mark != "?"}}
	}
	return d
}

// openFiles returns the descriptors that a side has for files of the case.
func (g *game) openFiles(role scenario.Role) (fds []int) {
	sd := g.sides[role]
	for fd := range sd.open {
		if fd > 2 && fd < 90 && !sd.leaks[fd] {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// requests lists what the judge has requested, and what it knows at the end.
func (g *game) requests() string {
	list := g.asked
	for _, role := range roles {
		if g.sides[role].failed {
			list = append(list, fmt.Sprintf("%s failed", role))
		}
		if g.sides[role].killed {
			list = append(list, fmt.Sprintf("%s killed", role))
		}
	}
	if g.spent {
		list = append(list, "spent")
	}
	if g.leaked {
		list = append(list, "leaked")
	}
	return strings.Join(list, ", ")
}

// outcome returns the findings of a game, or the reason why there are none.
func (g *game) outcome() string { return describeFound(g.record.Found) }

func describeFound(found Found) string {
	var list []string
	if found.Verdict != "" {
		list = append(list, string(found.Verdict)+": "+found.Why)
	}
	for _, f := range found.Findings {
		text := f.Located()
		if f.Own {
			text += " (own)"
		}
		if f.Ambiguous {
			text += " (ambiguous)"
		}
		list = append(list, text)
	}
	return strings.Join(list, "\n")
}

// gameOf runs a script with the peers x and y.
func gameOf(t *testing.T, text, script string, change func(x, y *scenario.Peer)) *game {
	t.Helper()
	x, y := &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}
	if change != nil {
		change(x, y)
	}
	g := newGame(t, mustParse(t, text), x, y, script)
	g.run()
	return g
}

// judgeAgain judges the record of the game again, which finds the same.
func (g *game) judgeAgain() {
	g.Helper()
	if got := g.record.Judge(g.Case.Scenario); !reflect.DeepEqual(got, g.record.Found) {
		g.Errorf("judged again: %+v, want %+v", got, g.record.Found)
	}
}

// passer carries out passOne with two peers, of which B forgets the close-on-exec flag.
type passer struct{}

func (passer) CarryOut(_ Found, do Request) (any, error) {
	switch do := do.(type) {
	case Ask:
		return fact.Answer{Side: do.Role, Said: "ok"}, nil
	case Send:
		return fact.Sent{Side: do.Role, Text: do.Text}, nil
	case Await:
		said := map[scenario.Role]string{roleA: "ok n=1", roleB: "ok n=1 payload=00 fds=7"}
		return fact.Answer{Side: do.Role, Said: said[do.Role]}, nil
	case Look:
		seen := fact.Observation{Side: do.Role}
		if slices.Contains(do.Named, 7) {
			a := fact.Match{File: fact.File{Name: "a", Owner: roleA}, Way: "kcmp", Sure: true}
			seen.Descriptors = []fact.Descriptor{{Side: roleB, FD: 7, Files: []fact.Match{a}, Info: &fact.Info{}}}
		}
		return seen, nil
	}
	return nil, errors.New("the case has ended") // which ends Run
}

func ExampleRun() {
	s, err := scenario.Parse("group/id", []byte(passOne))
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := Run(setupOf(s, &scenario.Peer{Name: "x"}, &scenario.Peer{Name: "y"}), passer{})
	fmt.Println(found.Findings, err)
	// Output:
	// [cloexec@y: a received descriptor is not close-on-exec] the case has ended
}
