package scenario

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/kernel"
)

// PeerCalls lists the system calls that a peer scenario can have a process of the runner make, in addition to
// the commands of the contract. A kernel scenario can use any call in kernel.CallUsages.
var PeerCalls = []string{"sendmsg", "recvmsg", "read", "write", "fcntl", "shutdown"}

// A parser reads a transcript. It checks that each line is valid, given the lines above it.
type parser struct {
	*Scenario
	line     int
	known    map[string]int  // the names that an answer can have, with the lines that define them, or -1 for a socket
	dropped  map[string]bool // the files whose descriptors the runner has closed
	speakers map[Role]*speaker
}

// A speaker holds the state of A or B at the line being parsed.
type speaker struct {
	names map[string]bool // names for which it has descriptors
	last  *Step           // its last command
	waits bool            // it has not answered last yet
	over  string          // the reason why it gets no more commands
}

// Parse parses a transcript. The files interop/catalogue/peer/README.md and
// interop/catalogue/kernel/README.md describe its format. Errors begin with the name of the
// scenario. If an error concerns a line, the line number follows the name.
func Parse(name string, text []byte) (*Scenario, error) {
	sum := sha256.Sum256(text)
	s := &Scenario{
		Name:  name,
		Play:  PlayPair,
		Users: map[Role]User{},
		Hash:  fmt.Sprintf("%x", sum[:6]),
		text:  string(text),
	}
	p := parser{
		Scenario: s,
		known:    map[string]int{},
		dropped:  map[string]bool{},
		speakers: map[Role]*speaker{},
	}
	for role, name := range SockNames {
		p.known[name] = -1
		p.speakers[role] = &speaker{names: map[string]bool{name: true}}
	}
	for i, l := range strings.Split(s.text, "\n") {
		p.line = i + 1
		if err := p.parseLine(strings.TrimRight(l, " \t")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	for _, role := range []Role{RoleA, RoleB} {
		if sp := p.speakers[role]; sp.waits {
			return nil, fmt.Errorf("%s:%d: no answer of %s to this command is expected", name, sp.last.Line, role)
		}
	}
	switch {
	case len(s.Rule) < 2 || s.Rule[0] == "" || s.Rule[1] == "":
		return nil, fmt.Errorf("%s: the first two lines must be comments: the rule and its source", name)
	case len(s.Types) == 0:
		return nil, fmt.Errorf("%s: no socket types", name)
	case !slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Kind == StepAnswer }):
		return nil, fmt.Errorf("%s: no answer is expected: the scenario cannot fail", name)
	}
	return s, nil
}

// ValidatePeer returns an error if the scenario uses a call or a kind of file that
// interop/catalogue/peer/README.md does not describe. Package catalogue calls it for each scenario in the
// peer folder.
func (s *Scenario) ValidatePeer() error {
	for _, f := range s.Files {
		if k := kindOf(f.Kind); k.Name != "" && !k.Peer {
			return fmt.Errorf("%s: the kind of file %q is for kernel scenarios (play kernel); those for peer scenarios are %s",
				s.Name, k.Name, strings.Join(kindNames(true), " "))
		}
	}
	for _, st := range s.Steps {
		if verb := st.Command.Verb; kernel.IsCall(verb) && !slices.Contains(PeerCalls, verb) {
			return fmt.Errorf("%s:%d: the call %q is for kernel scenarios (play kernel); those for peer scenarios are %s",
				s.Name, st.Line, verb, strings.Join(PeerCalls, " "))
		}
	}
	return nil
}

func (p *parser) parseLine(l string) error {
	switch {
	case !utf8.ValidString(l) || strings.ContainsFunc(l, unprintable):
		return fmt.Errorf("not printable text: %q", l) // lists print the rule, and errors print lines
	case l == "":
	case strings.HasPrefix(l, "#"):
		if len(p.Rule) == p.line-1 { // comments further down do not belong to the rule
			p.Rule = append(p.Rule, strings.TrimSpace(l[1:]))
		}
	case strings.HasPrefix(l, " | "), strings.HasPrefix(l, " || "):
		if len(p.Steps) == 0 || p.Steps[len(p.Steps)-1].Kind != StepAnswer {
			return errors.New("an alternative must follow an expected answer")
		}
		bars, text, _ := strings.Cut(l[1:], " ")
		st := &p.Steps[len(p.Steps)-1]
		err := p.alternative(st, text)
		st.Alternatives[len(st.Alternatives)-1].Swapped = bars == "||"
		return err
	case len(l) > 3 && (l[1] == byte(StepCommand) || l[1] == byte(StepAnswer)):
		return p.parseStep(l)
	default:
		return p.parseDirective(l)
	}
	return nil
}

// unprintable reports whether r is neither printable nor a tab.
func unprintable(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }

// cutReason separates a line from the comment at its end.
func cutReason(l string) (text, reason string) {
	text, reason, _ = strings.Cut(l, "  #")
	return strings.TrimRight(text, " "), strings.TrimSpace(reason)
}

// directives maps each directive to the words that can follow it, or to nil if these words
// are not from a fixed list.
var directives = map[string][]string{
	"on":    contract.SocketTypes,
	"play":  {string(PlayPair), string(PlaySolo), string(PlaySender), string(PlayReceiver), string(PlayKernel)},
	"room":  {"any"},
	"waits": {"A", "B"},
	// A scenario can need root privileges, or socket options that some kernels do not support.
	"needs": {"root", "passpidfd", "passrights", "rightsnotrunc", "inq", "peekoff"},
	"user":  nil,
	"files": nil,
}

func (p *parser) parseDirective(l string) (err error) {
	text, _ := cutReason(l)
	directive, rest, _ := strings.Cut(text, " ")
	words := strings.Split(rest, " ")
	allowed, ok := directives[directive]
	if !ok {
		return fmt.Errorf("not a line of a transcript: %q", l)
	}
	for i, w := range words {
		switch {
		case allowed != nil && !slices.Contains(allowed, w):
			return fmt.Errorf("%q cannot follow %q; words that can are %s", w, directive, strings.Join(allowed, " "))
		case slices.Contains(words[:i], w), directive == "on" && slices.Contains(p.Types, w):
			return fmt.Errorf("duplicate %q", w)
		}
		switch directive {
		case "on":
			p.Types = append(p.Types, w)
		case "needs":
			p.Needs = append(p.Needs, w)
		case "waits":
			p.Waits = append(p.Waits, Role(w[0]))
		case "room":
			p.RoomAny = true
		case "files":
			err = cmp.Or(err, p.parseFile(w))
		}
	}
	switch {
	case directive == "play" && len(words) > 1:
		return errors.New("play takes one word")
	case directive == "play":
		p.Play = Play(rest)
	case directive == "user":
		return p.parseUser(rest)
	}
	return err
}

var userForm = regexp.MustCompile(`^([AB]) uid=([1-9][0-9]*)(?: nofile=([1-9][0-9]*))?$`)

// parseUser reads A uid=65534 nofile=64.
func (p *parser) parseUser(text string) error {
	m := userForm.FindStringSubmatch(text)
	if m == nil || p.Users[Role(text[0])].UID != 0 {
		return errors.New("a user line is user A uid=N or user A uid=N nofile=N, once for each of A and B")
	}
	uid, _ := strconv.Atoi(m[2])
	nofile, _ := strconv.Atoi(m[3])
	p.Users[Role(m[1][0])] = User{UID: uid, NoFile: nofile}
	return nil
}

var fileForm = regexp.MustCompile(`^([^@=]+)(?:@([AB]))?=(.+)$`)

// parseFile reads a=pipe-r, a@B=pipe-r, a1..a9=memfd or b=end:a.
func (p *parser) parseFile(w string) error {
	m := fileForm.FindStringSubmatch(w)
	if m == nil {
		return fmt.Errorf("a file is NAME=KIND or NAME@B=KIND, not %q", w)
	}
	kind := m[3]
	if end, is := strings.CutPrefix(kind, "end:"); is {
		ended := slices.ContainsFunc(p.Files, func(f FileSpec) bool { return f.Name == end && kindOf(f.Kind).ended })
		taken := slices.ContainsFunc(p.Files, func(f FileSpec) bool { return f.Kind == kind })
		if !ended || taken {
			return fmt.Errorf("%q: the runner does not have the other end of %s", w, end)
		}
	} else if kindOf(kind).Name == "" {
		return fmt.Errorf("no such kind of file: %q; kinds are %s", kind, strings.Join(kindNames(false), " "))
	}
	names, err := expandNames([]string{m[1]})
	for _, n := range names {
		switch {
		case !isName(n):
			return fmt.Errorf("not a name: %q", n)
		case p.known[n] != 0:
			return fmt.Errorf("two files are named %q", n)
		}
		role := Role(cmp.Or(m[2], "A")[0])
		p.Files = append(p.Files, FileSpec{Name: n, Owner: role, Kind: kind})
		p.known[n], p.speakers[role].names[n] = p.line, true
	}
	return err
}

func (p *parser) parseStep(l string) (err error) {
	st := Step{Role: Role(l[0]), Kind: StepKind(l[1]), Line: p.line}
	rest, ok := l[2:], false
	rest, st.Async = strings.CutPrefix(rest, "&")
	rest, ok = strings.CutPrefix(rest, " ")
	sp := p.speakers[st.Role]
	switch {
	case sp == nil && st.Role != RoleR:
		return fmt.Errorf("no such role: %q", l[:1])
	case !ok || rest == "":
		return fmt.Errorf("no space after %q", l[:2])
	case sp == nil && (st.Kind == StepAnswer || st.Async):
		return errors.New(`the runner answers nothing: its lines begin with "R> "`)
	case sp == nil:
		st.Text, _ = cutReason(rest)
		if st.Act, err = parseAct(st.Text); err == nil {
			err = p.act(st.Act)
		}
	case st.Kind == StepCommand:
		st.Text, _ = cutReason(rest)
		err = p.command(sp, &st)
	case !sp.waits:
		return fmt.Errorf("%s has no command to answer", st.Role)
	case st.Async != sp.last.Async:
		return fmt.Errorf("%s<& expects the answer to %s>&, and %s< that to %s>", st.Role, st.Role, st.Role, st.Role)
	default:
		sp.waits = false
		if sp.last.Command.Verb == "end" {
			sp.over = "has ended the case: it gets no more commands"
		}
		err = p.alternative(&st, rest)
	}
	p.Steps = append(p.Steps, st)
	return err
}

// command checks that the role can carry out a command, and that it has descriptors for the
// names in it.
func (p *parser) command(sp *speaker, st *Step) (err error) {
	if st.Command, err = contract.ParseLine(st.Text); err != nil {
		return err
	}
	verb := st.Command.Verb
	switch {
	case sp.over != "":
		return fmt.Errorf("%s %s", st.Role, sp.over)
	case sp.waits:
		return fmt.Errorf("%s has not answered line %d", st.Role, sp.last.Line)
	case !kernel.Vocabulary.Has(verb):
		return fmt.Errorf("no such command: %q", verb)
	case verb == "hello" || verb == "use":
		return fmt.Errorf("only the runner itself sends %q", verb)
	case kernel.IsCall(verb) && !p.RunByRunner(st.Role):
		return fmt.Errorf("%q is not a command for a peer: %s is a process of the runner only with play %s or play kernel",
			verb, st.Role, map[Role]Play{RoleA: PlayReceiver, RoleB: PlaySender}[st.Role])
	}
	sp.last, sp.waits = st, true
	withFDs, err := MapNames(st.Text, func(name string) (int, error) {
		n, err := strconv.ParseInt(name, 0, 64)
		if err != nil && !sp.names[name] {
			return 0, fmt.Errorf("%s has no %q", st.Role, name)
		}
		return int(n), nil // 0 for a name
	})
	if err == nil {
		_, err = contract.ParseCommand(kernel.Vocabulary, withFDs)
	}
	return err
}

// alternative adds an answer that a step accepts. It returns an error if this answer to the
// command is impossible, or if a name in the answer is unknown. Later commands to the role may
// use the names in the answer.
func (p *parser) alternative(st *Step, text string) (err error) {
	var a Alternative
	a.Text, a.Reason = cutReason(text)
	sp := p.speakers[st.Role]
	if a.Line, err = contract.ParseLine(a.Text); err == nil && a.Text != "err" {
		err = contract.ValidateAnswer(kernel.Vocabulary, sp.last.Command.Verb, a.Line)
	}
	if err == nil && len(st.Alternatives) > 0 && a.Reason == "" {
		err = fmt.Errorf("an alternative needs a reason: %q", a.Text)
	}
	if err != nil {
		return err
	}
	st.Alternatives = append(st.Alternatives, a)
	var items []string
	for _, key := range kernel.Vocabulary.FDFields() {
		items = append(items, a.Line.List(key)...)
	}
	items, err = expandNames(items)
	items, _, _ = cutClosed(items)
	for _, item := range items {
		name, as, named := strings.Cut(item, ":")
		if !named {
			as = name
		}
		isNew := name == NewName && named && p.RunByRunner(st.Role) && (p.known[as] == 0 || p.known[as] == st.Line)
		if p.known[name] == 0 && !isNew {
			return fmt.Errorf("no file is named %q", name)
		}
		if !isName(as) {
			return fmt.Errorf("not a name: %q", as)
		}
		if isNew {
			p.known[as] = st.Line
		}
		sp.names[as] = true
	}
	return err
}

// act checks that the runner can carry out an act at this line.
func (p *parser) act(a Act) error {
	sp := p.speakers[a.Role]
	switch {
	case a.OfFile() && p.known[a.Name] == 0:
		return fmt.Errorf("no file is named %q", a.Name)
	case (a.Verb == "pos" || a.Verb == "flags") && !sp.names[a.Name]:
		return fmt.Errorf("%s has no %q", a.Role, a.Name)
	case a.Verb == "eof" && !p.dropped[a.Name]:
		return fmt.Errorf("eof %s: drop comes before eof", a.Name)
	case sp.over != "" && !a.OfFile() && !a.OfSocket():
		return fmt.Errorf("%s %s", a.Role, sp.over)
	case (a.Verb == "blocked" || a.Verb == "settled") && !sp.waits:
		return fmt.Errorf("%s %s: %s has no command to answer", a.Verb, a.Role, a.Role)
	case a.Verb == "kill" && a.Word == "SIGKILL":
		sp.over, sp.waits = "was killed: it gets no more commands", false
	case a.Verb == "drop":
		p.dropped[a.Name] = true
	}
	return nil
}
