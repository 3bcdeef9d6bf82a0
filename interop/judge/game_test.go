package judge

import (
	"cmp"
	"fmt"
	"reflect"
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
//	held=a     a is open without a descriptor; held=a/A until A ended
//	at=500     milliseconds since the case began
//
// If there is no look or end for a side, it closes everything as it should.
type game struct {
	*testing.T
	*Judge
	script  []string
	asked   []string // what the judge has requested beyond the lines of the transcript
	record  *Record
	changes string // of the last line of the script, which are not seen yet
	whole   bool   // the transcript was run to its end
}

// newGame returns a game between two peers.
func newGame(t *testing.T, s *scenario.Scenario, a, b *scenario.Peer, script string) *game {
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
	g := &game{T: t, record: setup.Record, Judge: New(setup)}
	for l := range strings.Lines(script) {
		if l = strings.TrimSpace(l); l != "" {
			g.script = append(g.script, l)
		}
	}
	return g
}

// run runs the case.
func (g *game) run() {
	_, do := g.Begin()
	g.todo = slices.Insert(g.todo, len(g.todo)-1, func() Request {
		g.whole = true
		return nil
	})
	for {
		if end, over := do.(End); over {
			if end.Session && !g.spent {
				g.asked = append(g.asked, "end session")
			} else if len(g.script) > 0 {
				g.Errorf("not used: %q", g.script)
			}
			return
		}
		_, do = g.carryOut(do)
	}
}

// carryOut reports the outcome of a request.
func (g *game) carryOut(do Request) (Found, Request) {
	role := do.at().Role
	switch do := do.(type) {
	case Send:
		if len(g.script) > 0 && strings.HasPrefix(g.script[0], role.String()+">") {
			return g.line(role.String()+">", role, scenario.Step{})
		}
		return g.Sent(fact.Sent{Side: role, Text: do.Text})
	case Ask:
		if do.Step.Line > 0 {
			if verb := do.Step.Command.Verb; do.Step.Role != role || verb != "send" && verb != "recv" {
				g.Errorf("%s is asked %q", role, do.Step.Text)
			}
			g.asked = append(g.asked, "ask")
			return g.line(role.String()+"<", role, scenario.Step{})
		}
		verb, _, _ := strings.Cut(do.Text, " ")
		said, ok := g.optional(verb, role)
		if said == "(gone)" {
			return g.Missing(fact.Missing{Side: role, Kind: fact.Gone, Why: "the peer ended: exit status 7"})
		}
		if verb == "end" && !ok {
			for _, fd := range g.openFiles(role) {
				g.changes += fmt.Sprintf(" -%d", fd)
			}
		}
		return g.Answered(fact.Answer{Side: role, Said: cmp.Or(said, "ok")})
	case Await:
		if do.Step.Line == 0 {
			return g.line("settle "+role.String(), role, do.Step)
		}
		if other := opposite(role); do.Other.Line > 0 && len(g.script) > 0 && strings.HasPrefix(g.script[0], other.String()+"<") {
			return g.line(other.String()+"<", other, do.Other) // this side waits in vain
		}
		return g.line(role.String()+"<", role, do.Step)
	case AwaitFailure:
		g.asked = append(g.asked, "await")
		return g.line(role.String()+"<", role, do.Step)
	case Look:
		return g.look(do)
	case Act:
		found, _ := g.optional("R>", 0)
		return g.act(role, found)
	case Release:
		if !g.whole {
			g.asked = append(g.asked, "end case")
		}
	case Watch:
		g.optional("after", 0)
	}
	return g.act(roleA, "")
}

// line reports the next line of the script, which must begin with a word. A side that is settled need not answer.
func (g *game) line(word string, role scenario.Role, st scenario.Step) (Found, Request) {
	g.Helper()
	text, ok := g.optional(word, 0)
	if !ok && st.Line > 0 {
		g.Fatalf("the script has no line for %s at line %d, but %q", role, st.Line, g.script)
	}
	if st.Line > 0 && (st.Role != role || st.Kind != scenario.StepAnswer) {
		g.Errorf("%s is expected to answer at line %d", role, st.Line)
	}
	f := fact.Missing{Side: role, Why: "no answer in time"}
	switch text {
	case "", "(silent)", "(unasked)":
	case "(stopped)":
		f.Signal = "stopped by the runner's own SIGSTOP"
	case "(gone)":
		f.Kind, f.Why = fact.Gone, "the peer ended: exit status 7"
	case "(killed)":
		f.Kind, f.Signal = fact.Gone, "ended by the runner's own signal: terminated"
	case "(broken)":
		f.Kind, f.Why = fact.Broken, "not text"
	case "(unsent)":
		f.Kind, f.Why = fact.Unsent, "longer than 9 bytes"
	default:
		a := fact.Answer{Side: role, Said: text, Owners: [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, UID: 18, GID: 19}}}
		if strings.Contains(g.changes, "no-user") {
			a.Owners[1].Err = "no such process"
		}
		if st.Line == 0 {
			return g.Answered(a)
		}
		ends := heard{side: g.sides[role], step: st, Answer: a}.endsCase()
		unseen := strings.Contains(g.changes, "unseen")
		found, do := g.Answered(a)
		if look, ok := do.(Look); ok {
			found, do = g.look(look)
		}
		_, released := do.(Release)
		_, ended := do.(End)
		if over := ended || released && !g.whole; over != ends && !unseen && !isOutOfTurn(do) {
			g.Errorf("%q ends the case: %t, but EndsCase: %t", text, over, ends)
		}
		return found, do
	}
	return g.Missing(f)
}

// optional takes the next line of the script if it begins with this word, and with this side unless that is 0.
func (g *game) optional(word string, role scenario.Role) (said string, ok bool) {
	if role != 0 {
		word += " " + role.String()
	}
	if g.changes = ""; len(g.script) == 0 {
		return "", false
	}
	said, ok = strings.CutPrefix(g.script[0], word)
	if !ok {
		return "", false
	}
	g.script = g.script[1:]
	said, g.changes, _ = strings.Cut(said, "|")
	return strings.TrimSpace(said), true
}

// look reports what has changed.
func (g *game) look(do Look) (Found, Request) {
	if do.Again {
		g.asked = append(g.asked, "look again")
	}
	if do.Again || do.All && !g.sides[do.Role].ended {
		g.optional("look", do.Role)
	}
	f, _ := g.change(do.Role, do.Named)
	return g.Seen(f)
}

// act reports what a line of the runner's own has found.
func (g *game) act(role scenario.Role, found string) (Found, Request) {
	seen, f := g.change(role, nil)
	f.Found = found
	for _, d := range seen.Descriptors {
		f.Descriptor = &d
	}
	return g.Acted(f)
}

var change = regexp.MustCompile(`^(-)?(\d+)?(!?=|:)?([a-z]*)([!?~])?$`)

// change returns what has changed, also among the descriptors that an answer names.
func (g *game) change(role scenario.Role, named []int) (f fact.Observation, a fact.Acted) {
	f.Side = role
	for word := range strings.FieldsSeq(g.changes) {
		name, value, _ := strings.Cut(word, ":")
		if ms, ok := strings.CutPrefix(word, "at="); ok {
			n, _ := strconv.Atoi(ms)
			f.Time = time.Duration(n) * time.Millisecond
			continue
		}
		if held, ok := strings.CutPrefix(word, "held="); ok {
			name, until, _ := strings.Cut(held, "/")
			a.Held = &fact.Held{File: g.names[name]}
			if until != "" {
				a.Held.Until = scenario.Role(until[0])
			}
			continue
		}
		switch {
		case word == "no-user":
			continue
		case word == "unseen":
			f.Unseen = "permission denied"
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
		d := fact.Descriptor{Side: role, FD: fd, Closed: m[1] != "", Changed: m[3] == "!=", Info: &fact.Info{CloseOnExec: m[5] != "!"}}
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
	g.changes = ""
	return f, a
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
	_, do := j.Begin()
	for {
		var found Found
		switch request := do.(type) {
		case Ask:
			_, do = j.Answered(fact.Answer{Side: request.Role, Said: "ok"})
		case Send:
			_, do = j.Sent(fact.Sent{Side: request.Role, Text: request.Text})
		case Await:
			said := map[scenario.Role]string{roleA: "ok n=1", roleB: "ok n=1 payload=00 fds=7"}
			_, do = j.Answered(fact.Answer{Side: request.Role, Said: said[request.Role]})
		case Look:
			seen := fact.Observation{Side: request.Role}
			if slices.Contains(request.Named, 7) {
				seen.Descriptors = []fact.Descriptor{{Side: roleB, FD: 7, Files: []fact.Match{{File: a, Way: "kcmp", Sure: true}}, Info: &fact.Info{}}}
			}
			found, do = j.Seen(seen)
		default:
			return
		}
		if len(found.Findings) > 0 {
			fmt.Println(found.Findings)
		}
	}
	// Output:
	// [cloexec@y: a received descriptor is not close-on-exec]
}
