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

	"github.com/scm-rights/scm/interop/contract"
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

// setupOf returns what is known before a case between the peers x and y, after a change to them, or nil. Each side is
// started with descriptor 3, its socket, and its files after it, in the order of the scenario, and with the descriptors
// 90 and 91 for a later case.
func setupOf(t *testing.T, text string, change func(x, y *scenario.Peer)) Setup {
	t.Helper()
	c := scenario.Case{Scenario: mustParse(t, text), Type: "stream", A: &scenario.Peer{Name: "x"}, B: &scenario.Peer{Name: "y"}}
	if change != nil {
		change(c.A, c.B)
	}
	setup := Setup{Case: c, Held: map[scenario.Role]*Held{}, Given: map[scenario.Role][]fact.Descriptor{}, Timeout: time.Second, Prefix: "p.", Log: &Log{}}
	for _, role := range roles {
		files := []scenario.FileSpec{{Name: scenario.SockNames[role], Owner: role, Kind: "sock"}}
		for _, f := range c.Scenario.Files {
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
		setup.Held[role] = NewHeld(pool, 0, 1, 2)
	}
	return setup
}

// A script is a Runner without processes. Its lines are what happens:
//
//	B< ok n=1    B answers this. If the answer ends the case, it may come before its turn
//	B< (silent)  B does not answer, for this or another reason in missing
//	A> (unsent)  A cannot be sent a command
//	R> TEXT      a line of the runner's own, or the search after the end, has found this
//	look A       the runner looks at A when the case begins or ends
//	end A no     A gives another answer to "end" than ok. Without it, A closes what it was given and has named
//
// The part after a bar is what the runner then sees:
//
//	7=a        7 is the open file description of a, close-on-exec; 7=a! not close-on-exec, 7=a? if only the
//	           inode is known, 7=a~ if its flags are not known
//	7=         7 is open and no file of the case
//	7!=a       7 refers to a now, and to something else before; 7!= to no file of the case
//	-7         7 is closed; for a descriptor that the answer names, it is not open
//	a:9        a is at offset 9 and was at 0;  a:O_NONBLOCK has these flags and had none
//	held=a     a is open without a descriptor; held=a/A until A ended
//	at=500ms   the time since the case began
type script struct {
	lines   []string
	changes string                  // of the last line, which the runner has not seen yet
	files   map[string]fact.File    // of the case, by their names
	has     map[scenario.Role][]int // what each side was given and what it has named
}

// run runs a case, and judges its log again, which finds the same. The error is nil or ErrPairOver.
func run(t *testing.T, setup Setup, lines string) (*Log, error) {
	t.Helper()
	s := &script{strings.Split(strings.TrimSpace(lines)+"\n", "\n"), "", map[string]fact.File{"pidfd": fact.SenderPidfd}, map[scenario.Role][]int{}}
	for _, d := range slices.Concat(setup.Given[roleA], setup.Given[roleB]) {
		s.files[d.Files[0].Name] = d.Files[0].File
	}
	found, err := Run(setup, s)
	if left := strings.Join(s.lines, "\n"); err != nil && err != ErrPairOver || left != "" {
		t.Errorf("%v; not used: %s", err, left)
	}
	if again := setup.Log.Judge(setup.Case.Scenario); !reflect.DeepEqual(again, found) || !reflect.DeepEqual(setup.Log.Found, found) {
		t.Errorf("found %+v, logged %+v, judged again: %+v", found, setup.Log.Found, again)
	}
	return setup.Log, err
}

// CarryOut returns the fact that the script has for a request.
func (s *script) CarryOut(found Found, do Request) (any, error) {
	for _, m := range found.Made {
		s.files[m.Name] = fact.File{Name: m.Name, Owner: m.Owner, Made: true}
	}
	role, isStep := do.at().Role, do.at().Step.Line > 0
	answers, other := role.String()+"<", role.Other().String()+"<"
	switch do := do.(type) {
	case Send:
		if said, ok := s.take(role.String() + ">"); ok {
			return s.reply(role, said), nil
		}
		return fact.Sent{Side: role, Text: do.Text}, nil
	case Ask:
		if isStep {
			said, _ := s.take(answers)
			return s.reply(role, said), nil
		}
		command, _ := contract.ParseLine(do.Text)
		said, ok := s.take(command.Verb + " " + role.String())
		switch {
		case command.Verb == "use":
			for _, item := range append(command.List("fds"), command.Fields["sock"]) {
				fd, _ := strconv.Atoi(item)
				s.has[role] = append(s.has[role], fd)
			}
		case command.Verb == "end" && !ok:
			for _, fd := range s.has[role] {
				s.changes += fmt.Sprintf(" -%d", fd)
			}
		}
		return s.reply(role, cmp.Or(said, "ok")), nil
	case Await:
		if said, early := s.next(other); early && do.EndsCase != nil {
			if a, ok := s.reply(role.Other(), said).(fact.Answer); ok && do.EndsCase(a) {
				role, answers = role.Other(), other // the first side waits in vain
			} else {
				s.lines[0], s.lines[1] = s.lines[1], s.lines[0]
			}
		}
		said, ok := s.take(answers)
		if !ok && isStep {
			return nil, fmt.Errorf("line %d: the script has no answer", do.Step.Line)
		}
		return s.reply(role, said), nil
	case AwaitFailure:
		said, _ := s.next(answers)
		if IsFailure(said) {
			s.take(answers)
			return s.reply(role, said), nil
		}
		return fact.Missing{Side: role}, nil
	case Look:
		if (do.First || do.All) && s.changes == "" {
			s.take("look " + role.String())
		}
		s.has[role] = append(s.has[role], do.Named...)
		f, _ := s.see(role, do.Named)
		return f, nil
	}
	text, _ := s.take("R>")
	seen, f := s.see(role, nil)
	f.Saw = text
	for _, d := range seen.Descriptors {
		f.Descriptor = &d
	}
	return f, nil
}

// next returns what follows this word in the next line, if the line begins with it.
func (s *script) next(word string) (said string, ok bool) {
	said, _, _ = strings.Cut(s.lines[0], "|")
	if said, ok = strings.CutPrefix(said, word); !ok {
		return "", false
	}
	return strings.TrimSpace(said), true
}

// take takes the next line if it begins with this word.
func (s *script) take(word string) (said string, ok bool) {
	if said, ok = s.next(word); ok {
		_, s.changes, _ = strings.Cut(s.lines[0], "|")
		s.lines = s.lines[1:]
	}
	return said, ok
}

// missing are the words in a script for an answer that is missing.
var missing = map[string]fact.Missing{
	"":          {Why: "no answer in time"},
	"(silent)":  {Why: "no answer in time"},
	"(stopped)": {Why: "no answer in time", Signal: "stopped by the runner's own SIGSTOP"},
	"(gone)":    {Kind: fact.Gone, Why: "the peer ended: exit status 7"},
	"(killed)":  {Kind: fact.Gone, Signal: "ended by the runner's own signal: terminated"},
	"(broken)":  {Kind: fact.Broken, Why: "not text"},
	"(unsent)":  {Kind: fact.Unsent, Why: "longer than 9 bytes"},
}

// reply returns the fact for what a side has answered. The user of B is not known after no-user.
func (s *script) reply(role scenario.Role, text string) any {
	if f, ok := missing[text]; ok {
		f.Side = role
		return f
	}
	a := fact.Answer{Side: role, Said: text, Owners: [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, UID: 18, GID: 19}}}
	if strings.Contains(s.changes, "no-user") {
		a.Owners[1].Err = "no such process"
	}
	return a
}

// descriptor matches the changes of a descriptor.
var descriptor = regexp.MustCompile(`^(-?)(-?\d+)(!?)=?(\w*)([!?~]?)$`)

// see returns what has changed, also among the descriptors that an answer names.
func (s *script) see(role scenario.Role, named []int) (f fact.Observation, a fact.Acted) {
	f.Side = role
	for word := range strings.FieldsSeq(s.changes) {
		key, value, _ := strings.Cut(word, "=")
		name, now, isState := strings.Cut(word, ":")
		m := descriptor.FindStringSubmatch(word)
		switch {
		case word == "no-user":
		case word == "cannot":
			a.Verdict, a.Why = scenario.Unsupported, "this system cannot"
		case word == "unseen":
			f.Unseen = "permission denied"
		case word == "exited":
			f.Exited = true
		case key == "at":
			f.Time, _ = time.ParseDuration(value)
		case key == "held":
			name, until, _ := strings.Cut(value+"/\x00", "/")
			a.StillOpen = &fact.StillOpen{File: s.files[name], Where: "somewhere", Until: scenario.Role(until[0])}
		case strings.HasPrefix(now, "O_"):
			f.States = append(f.States, fact.State{File: s.files[name], What: "status flags", Was: "none", Now: now})
		case isState:
			f.States = append(f.States, fact.State{File: s.files[name], What: fact.Offset, Was: "0", Now: now})
		default:
			fd, _ := strconv.Atoi(m[2])
			d := fact.Descriptor{Side: role, FD: fd, Closed: m[1] != "", Changed: m[3] != "", Info: &fact.Info{CloseOnExec: m[5] != "!"}}
			if m[5] == "~" {
				d.Info, d.InfoErr = nil, "no such process"
			}
			if d.Closed && slices.Contains(named, fd) {
				d.Closed, d.Err = false, "closed since"
			}
			if m[4] != "" {
				d.Files = []fact.Match{{File: s.files[m[4]], Way: "kcmp", Sure: m[5] != "?"}}
			}
			f.Descriptors = append(f.Descriptors, d)
		}
	}
	s.changes = ""
	return f, a
}

// requests lists what the judge has requested out of turn and after the transcript, and whether the processes can run
// another case.
func requests(r *Log, err error) string {
	var list []string
	for _, e := range r.Exchanges {
		role := e.Request.at().Role
		switch do := e.Request.(type) {
		case AwaitFailure:
			list = append(list, fmt.Sprintf("await failure of %s", role))
		case Ask:
			if verb, _, _ := strings.Cut(do.Text, " "); verb != "use" {
				list = append(list, fmt.Sprintf("%s %s", verb, role))
			}
		case Look:
			if do.Again {
				list = append(list, "look again")
			}
		case Release:
			list = append(list, "release")
		case Watch:
			list = append(list, fmt.Sprintf("watch%v", do.Failed))
		}
	}
	if err != nil {
		list = append(list, "over")
	}
	return strings.Join(list, ", ")
}

// describe returns what was found.
func describe(found Found) string {
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
