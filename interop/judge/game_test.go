package judge

import (
	"cmp"
	"fmt"
	"regexp"
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

// A game runs a transcript without processes. Each side is started with descriptor 3, its socket, and its files after it,
// in the order of the scenario, and with the descriptors 90 and 91 for a later case.
//
// The lines of the script are what happens. A line is an answer, B< ok n=1, one of B< (silent), B< (gone), B< (broken) and
// B< (unsent), or what a line of the runner's own found, R> TEXT. If it is about the other side than the next answer of the
// transcript, it comes out of turn, because this side waits in vain. use A is what the runner sees when the case begins, look
// A and end A before and after it has sent "end", to which a side can answer otherwise than ok: end A no. settle A is an
// answer before that, or (gone), to a command that was pending when the case was over. after is what it finds then. What
// changes is behind a bar:
//
//	7=a        7 is the open file description of a, close-on-exec; 7=a! not close-on-exec, 7=a? if only the inode is known,
//	           7=a~ if its flags are not known
//	7=         7 is open and no file of the case
//	7!=a       7 refers to a now, and to something else before; 7!= to no file of the case
//	-7         7 is closed; for a descriptor that the answer names, it is not open
//	a:9        a is at offset 9 and was at 0;  a:O_NONBLOCK has these flags and had none
//	unseen     the runner may not look
//	no-user    the user of B is not known; otherwise A and B are 7,8,9 and 17,18,19
//	exited     the process has ended
//	held=a     a is open without a descriptor; held=a/A until A ended
//	at=500     milliseconds since the case began
//
// If there is no look or end for a side, it closes everything as it should.
type game struct {
	*testing.T
	*Judge
	script []string
	found  []scenario.Finding
	asked  []string // what the judge asked for
	record *Record
	judged []scenario.Finding // what was found until the case was over
	last   Do
	over   bool
}

// newGame returns a game between two peers.
func newGame(t *testing.T, s *scenario.Scenario, a, b *scenario.Peer, script string) *game {
	c := scenario.Case{Scenario: s, Type: s.Types[0], A: a, B: b}
	setup := Setup{Case: c, Processes: map[scenario.Role]*Process{}, Given: map[scenario.Role][]fact.Descriptor{}, Timeout: time.Second, Prefix: "p."}
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
	g := &game{T: t, record: NewRecord(setup), Judge: New(setup)}
	for l := range strings.Lines(script) {
		if l = strings.TrimSpace(l); l != "" {
			g.script = append(g.script, l)
		}
	}
	return g
}

// tell tells the judge a fact, and does what it asks.
func (g *game) tell(f fact.Fact) {
	silence := f
	for {
		isLine := f.Kind == fact.Answered && f.Step.Line > 0 && f.Unseen == ""
		ends := isLine && g.EndsCase(f)
		found, do := g.Next(f)
		g.record.Add(f, do)
		g.found = append(g.found, found...)
		if g.last.What == GoOn {
			g.judged = g.found
		}
		if do.Verdict != "" {
			g.last.Verdict, g.last.Why = do.Verdict, do.Why
		}
		names := []string{"", "ask", "await", "look again", "end peer", "end case", "end session"}
		if do.What != GoOn {
			g.asked = append(g.asked, names[do.What])
		}
		if over := do.What == EndCase || do.What == EndSession; isLine && over != ends && do.What != Ask && do.What != Await {
			g.Errorf("%q ends the case: %t, but EndsCase: %t", f.Said, over, ends)
		}
		switch do.What {
		case EndCase, EndSession:
			g.last.What = do.What
			g.over = true
			return
		case GoOn:
			return
		case Ask:
			if verb := do.Step.Command.Verb; do.Step.Role != do.Role || verb != "send" && verb != "recv" {
				g.Errorf("%s is asked %q", do.Role, do.Step.Text)
			}
			g.tell(fact.Fact{Kind: fact.Sent, Side: do.Role, Said: do.Step.Text})
			f = g.line(do.Role, scenario.Step{})
		case Await:
			f = g.line(do.Role, do.Step)
		case LookAgain:
			f, _ = g.optional("look", do.Role)
		case EndPeer:
			f = silence
			f.Why = "no answer in time"
		}
	}
}

// line returns the next line of the script, which must be about this side.
func (g *game) line(role scenario.Role, st scenario.Step) (f fact.Fact) {
	g.Helper()
	if len(g.script) == 0 {
		g.Fatalf("the script has no line for %s at line %d", role, st.Line)
	}
	text, changes, _ := strings.Cut(g.script[0], "|")
	g.script = g.script[1:]
	text, ok := strings.CutPrefix(strings.TrimSpace(text), role.String()+"<")
	if text = strings.TrimSpace(text); !ok {
		g.Fatalf("%q is not about %s", text, role)
	}
	if st.Line > 0 && (st.Role != role || st.Kind != scenario.StepAnswer) {
		g.Errorf("%s is expected to answer at line %d", role, st.Line)
	}
	f = fact.Fact{Kind: fact.Answered, Side: role, Step: st, Said: text}
	switch text {
	case "(silent)":
		f.Kind = fact.Silent
	case "(stopped)":
		f.Kind, f.Signal = fact.Silent, "stopped by the runner's own SIGSTOP"
	case "(gone)":
		f.Kind, f.Why = fact.Gone, "the peer ended: exit status 7"
	case "(killed)":
		f.Kind, f.Signal = fact.Gone, "ended by the runner's own signal: terminated"
	case "(broken)":
		f.Kind, f.Why = fact.Broken, "not text"
	case "(unsent)":
		f.Kind, f.Why = fact.Unsent, "longer than 9 bytes"
	case "(unasked)":
		f.Kind = fact.Unasked
	}
	var named []int
	if f.Kind == fact.Answered && st.Line > 0 {
		named, _ = g.Named(role, text)
	}
	g.change(&f, changes, named)
	return f
}

// optional returns the next line of the script if it begins with this word and side.
func (g *game) optional(word string, role scenario.Role) (f fact.Fact, ok bool) {
	f = fact.Fact{Kind: fact.Looked, Side: role}
	if len(g.script) == 0 {
		return f, false
	}
	text, changes, _ := strings.Cut(g.script[0], "|")
	said, ok := strings.CutPrefix(strings.TrimSpace(text), word+" "+role.String())
	if !ok {
		return f, false
	}
	g.script = g.script[1:]
	f.Said = strings.TrimSpace(said)
	g.change(&f, changes, nil)
	return f, true
}

var change = regexp.MustCompile(`^(-)?(\d+)?(!?=|:)?([a-z]*)([!?~])?$`)

// change adds what changes, and what the descriptors are that an answer names.
func (g *game) change(f *fact.Fact, text string, named []int) {
	f.Owners = [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, UID: 18, GID: 19}}
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, ":")
		if ms, ok := strings.CutPrefix(word, "at="); ok {
			n, _ := strconv.Atoi(ms)
			f.Time = time.Duration(n) * time.Millisecond
			continue
		}
		if held, ok := strings.CutPrefix(word, "held="); ok {
			name, until, _ := strings.Cut(held, "/")
			h := fact.Held{File: g.names[name]}
			if until != "" {
				h.Until = scenario.Role(until[0])
			}
			f.Held = []fact.Held{h}
			continue
		}
		switch {
		case word == "unseen":
			f.Unseen = "permission denied"
			continue
		case word == "no-user":
			f.Owners[1].Err = "no such process"
			continue
		case word == "exited":
			f.Exited = true
			continue
		case value != "" && strings.HasPrefix(value, "O_"):
			f.States = append(f.States, fact.State{File: g.names[name], What: "status flags", Was: "none", Now: value})
			continue
		case value != "":
			f.States = append(f.States, fact.State{File: g.names[name], What: fact.Offset, Was: "0", Now: value})
			continue
		}
		m := change.FindStringSubmatch(word)
		if m == nil {
			g.Fatalf("%q is no change", word)
		}
		fd, _ := strconv.Atoi(m[2])
		d := fact.Descriptor{Side: f.Side, FD: fd, Closed: m[1] != "", Changed: m[3] == "!=", Info: &fact.Info{CloseOnExec: m[5] != "!"}}
		if m[5] == "~" {
			d.Info, d.InfoErr = nil, "no such process"
		}
		if slices.Contains(named, fd) && d.Closed {
			d.Closed, d.Err = false, "closed since"
		}
		if m[4] == "pidfd" {
			d.Files = []fact.Match{{File: fact.SenderPidfd, Sure: true}}
		} else if m[4] != "" {
			d.Files = []fact.Match{{File: g.names[m[4]], Way: "kcmp", Sure: m[5] != "?"}}
		}
		f.Descriptors = append(f.Descriptors, d)
	}
}

// run runs the transcript.
func (g *game) run() {
	for _, role := range roles {
		g.own(role, "use")
	}
	for _, st := range g.Case.Scenario.Steps {
		if g.over {
			break
		}
		switch {
		case st.Role == scenario.RoleR:
			f := fact.Fact{Side: st.Act.Role, Step: st}
			if len(g.script) > 0 && strings.HasPrefix(g.script[0], "R>") {
				text, changes, _ := strings.Cut(strings.TrimPrefix(g.script[0], "R>"), "|")
				g.script = g.script[1:]
				f.Found = strings.TrimSpace(text)
				g.change(&f, changes, nil)
			}
			g.tell(f)
		case st.Kind == scenario.StepCommand:
			text, err := scenario.MapNames(st.Text, func(name string) (int, error) { return g.FD(st.Role, name) })
			if err != nil {
				g.Fatal(err)
			}
			g.tell(fact.Fact{Kind: fact.Sent, Side: st.Role, Step: st, Said: text})
		default:
			other := g.sides[st.Role].other.role
			if next, ok := g.Expected(other, st.Line); ok && len(g.script) > 0 && strings.HasPrefix(g.script[0], other.String()+"<") {
				st = next // this side waits in vain
			}
			g.tell(g.line(st.Role, st))
		}
	}
	if g.last.What == EndSession {
		return
	}
	g.over = false
	for _, role := range roles {
		if f, ok := g.optional("settle", role); ok {
			if f.Kind = fact.Aside; f.Said == "(gone)" {
				f.Kind, f.Why = fact.Gone, "the peer ended: exit status 7"
			}
			g.tell(f)
		}
		if g.over || g.Pending(role) || g.Killed(role) {
			continue
		}
		if f, ok := g.optional("look", role); ok || !g.over {
			g.tell(f)
		}
		g.own(role, "end")
	}
	for len(g.script) > 0 && !g.over {
		text, changes, _ := strings.Cut(g.script[0], "|")
		if strings.TrimSpace(text) != "after" {
			break
		}
		g.script = g.script[1:]
		f := fact.Fact{Side: roleA}
		g.change(&f, changes, nil)
		g.tell(f)
	}
	if len(g.script) > 0 {
		g.Errorf("not used: %q", g.script)
	}
}

// own sends a command of the runner's own, to which the script may have another answer than ok.
func (g *game) own(role scenario.Role, verb string) {
	if g.last.What == EndSession {
		return
	}
	g.tell(fact.Fact{Kind: fact.Sent, Side: role, Said: verb})
	f, ok := g.optional(verb, role)
	f.Kind, f.Said = fact.Answered, cmp.Or(f.Said, "ok")
	if verb == "end" && !ok {
		for _, fd := range g.openFiles(role) {
			f.Descriptors = append(f.Descriptors, fact.Descriptor{Side: role, FD: fd, Closed: true})
		}
	}
	g.tell(f)
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

// requests lists what the judge asked for, and what it knows at the end.
func (g *game) requests() string {
	list := g.asked
	for _, role := range roles {
		if g.Pending(role) && g.last.What != EndSession {
			list = append(list, fmt.Sprintf("%s has not answered", role))
		}
		if g.Failed(role) {
			list = append(list, fmt.Sprintf("%s failed", role))
		}
		if g.Killed(role) {
			list = append(list, fmt.Sprintf("%s killed", role))
		}
	}
	if g.Spent() {
		list = append(list, "spent")
	}
	if g.Leaked() {
		list = append(list, "leaked")
	}
	return strings.Join(list, ", ")
}

// outcome returns the findings of a game, or the reason why there are none.
func (g *game) outcome() string { return describeFound(g.found, g.last) }

func describeFound(found []scenario.Finding, last Do) string {
	var list []string
	if last.Verdict != "" {
		list = append(list, string(last.Verdict)+": "+last.Why)
	}
	for _, f := range found {
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

// judgeAgain judges the record of the game again, which finds the same until the case is over, unless the judge has asked for
// something out of turn.
func (g *game) judgeAgain() {
	g.Helper()
	found, last := g.record.Judge(g.Case.Scenario)
	got, want := describeFound(found, last), describeFound(g.judged, g.last)
	if slices.Contains(g.asked, "ask") || slices.Contains(g.asked, "await") {
		want = "not run: the judge asked a side out of turn"
	}
	if got != want {
		g.Errorf("judged again:\n%s\nwant\n%s", got, want)
	}
}

func ExampleJudge() {
	s, err := scenario.Parse("group/id", []byte(passOne))
	if err != nil {
		fmt.Println(err)
		return
	}
	a := fact.File{Name: "a", Owner: roleA}
	sockets := map[scenario.Role][]fact.Descriptor{
		roleA: {{Side: roleA, FD: 3, Files: []fact.Match{{File: fact.File{Name: "asock", Owner: roleA, Socket: true}}}},
			{Side: roleA, FD: 4, Files: []fact.Match{{File: a}}}},
		roleB: {{Side: roleB, FD: 3, Files: []fact.Match{{File: fact.File{Name: "bsock", Owner: roleB, Socket: true}}}}},
	}
	j := New(Setup{
		Case:      scenario.Case{Scenario: s, Type: "stream", A: &scenario.Peer{Name: "x"}, B: &scenario.Peer{Name: "y"}},
		Processes: map[scenario.Role]*Process{roleA: NewProcess([]int{3, 4}), roleB: NewProcess([]int{3})},
		Given:     sockets,
	})
	j.Next(fact.Fact{Kind: fact.Sent, Side: roleB, Step: s.Steps[2], Said: "recv bytes=1 fds=1"})
	found, _ := j.Next(fact.Fact{Kind: fact.Answered, Side: roleB, Step: s.Steps[3], Said: "ok n=1 payload=00 fds=7", Descriptors: []fact.Descriptor{
		{Side: roleB, FD: 7, Files: []fact.Match{{File: a, Way: "kcmp", Sure: true}}, Info: &fact.Info{}}}})
	fmt.Println(found)
	// Output:
	// [cloexec@y: a received descriptor is not close-on-exec]
}
