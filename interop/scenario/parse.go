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

// A parser reads a transcript. A line is held against what the lines above it have made.
type parser struct {
	*Scenario
	line    int
	known   map[string]int  // what an answer can name, and the line that made it, or -1 for a socket
	dropped map[string]bool // the files that the runner has no copy of any more
	sides   map[Role]*side
}

// A side is what is known of A or B.
type side struct {
	names map[string]bool // those that it has descriptors for
	asked *Step           // what it was told last
	waits bool            // whether that has no answer yet
	over  string          // why it is told nothing more
}

// Parse reads a transcript. The form is told in interop/catalogue/README.md. Errors begin
// with the name, and with the number of the line where one is at fault.
func Parse(name string, text []byte) (*Scenario, error) {
	sum := sha256.Sum256(text)
	s := &Scenario{Name: name, Play: PlayPair, Users: map[Role]User{}, Hash: fmt.Sprintf("%x", sum[:6]), text: string(text)}
	p := parser{Scenario: s, known: map[string]int{}, dropped: map[string]bool{}, sides: map[Role]*side{}}
	for role, name := range SockNames {
		p.known[name] = -1
		p.sides[role] = &side{names: map[string]bool{name: true}}
	}
	for i, l := range strings.Split(s.text, "\n") {
		p.line = i + 1
		if err := p.parseLine(strings.TrimRight(l, " \t")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	for _, role := range []Role{RoleA, RoleB} {
		if sd := p.sides[role]; sd.waits {
			return nil, fmt.Errorf("%s:%d: nobody hears the answer of %s", name, sd.asked.Line, role)
		}
	}
	switch {
	case len(s.Rule) < 2 || s.Rule[0] == "" || s.Rule[1] == "":
		return nil, fmt.Errorf("%s: the first two lines say the rule and its source", name)
	case len(s.Types) == 0:
		return nil, fmt.Errorf("%s: no socket types", name)
	case !slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Kind == StepHear }):
		return nil, fmt.Errorf("%s: no answer is expected: the scenario cannot fail", name)
	}
	return s, nil
}

func (p *parser) parseLine(l string) error {
	switch {
	case !utf8.ValidString(l) || strings.ContainsFunc(l, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }):
		return fmt.Errorf("not text: %q", l) // the rule is printed in lists, a line in errors
	case l == "":
	case strings.HasPrefix(l, "#"):
		if len(p.Rule) == p.line-1 { // comments further down are not of the rule
			p.Rule = append(p.Rule, strings.TrimSpace(l[1:]))
		}
	case strings.HasPrefix(l, " | "):
		if len(p.Steps) == 0 || p.Steps[len(p.Steps)-1].Kind != StepHear {
			return errors.New("an alternative to nothing")
		}
		return p.want(&p.Steps[len(p.Steps)-1], l[3:])
	case len(l) > 3 && (l[1] == byte(StepSay) || l[1] == byte(StepHear)):
		return p.parseStep(l)
	default:
		return p.parseDirective(l)
	}
	return nil
}

// cutReason splits a line at the comment behind it.
func cutReason(l string) (text, reason string) {
	text, reason, _ = strings.Cut(l, "  #")
	return strings.TrimRight(text, " "), strings.TrimSpace(reason)
}

// directives are the words that stand behind a directive, or nil for those of another form.
var directives = map[string][]string{
	"on":    contract.SocketTypes,
	"play":  {string(PlayPair), string(PlaySolo), string(PlaySender), string(PlayReceiver), string(PlayKernel)},
	"room":  {"any"},
	"waits": {"A", "B"},
	// What the system must have: root, or socket options that not all kernels have.
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
			return fmt.Errorf("no such word behind %q: %q; there are %s", directive, w, strings.Join(allowed, " "))
		case slices.Contains(words[:i], w), directive == "on" && slices.Contains(p.Types, w):
			return fmt.Errorf("%s twice", w)
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
		return errors.New("user takes A or B, once, uid=N and nofile=N")
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
		var kinds []string
		for _, k := range FileKinds {
			kinds = append(kinds, k.Name)
		}
		return fmt.Errorf("no such kind of file: %q; kinds are %s", kind, strings.Join(kinds, " "))
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
		p.known[n], p.sides[role].names[n] = p.line, true
	}
	return err
}

func (p *parser) parseStep(l string) (err error) {
	st := Step{Role: Role(l[0]), Kind: StepKind(l[1]), Line: p.line}
	rest, ok := l[2:], false
	rest, st.Async = strings.CutPrefix(rest, "&")
	rest, ok = strings.CutPrefix(rest, " ")
	sd := p.sides[st.Role]
	switch {
	case sd == nil && st.Role != RoleR:
		return fmt.Errorf("no such role: %q", l[:1])
	case !ok || rest == "":
		return fmt.Errorf("no space after %q", l[:2])
	case sd == nil && (st.Kind == StepHear || st.Async):
		return errors.New("the runner does not answer, and nobody waits for it: R> alone is a line of its own")
	case sd == nil:
		st.Text, _ = cutReason(rest)
		if st.Act, err = parseAct(st.Text); err == nil {
			err = p.act(st.Act)
		}
	case st.Kind == StepSay:
		st.Text, _ = cutReason(rest)
		err = p.say(sd, &st)
	case !sd.waits:
		return fmt.Errorf("%s was asked nothing", st.Role)
	case st.Async != sd.asked.Async:
		return fmt.Errorf("%s<& hears the answer to %s>&, and %s< that to %s>", st.Role, st.Role, st.Role, st.Role)
	default:
		if sd.waits = false; sd.asked.Command.Verb == "end" {
			sd.over = "has ended the case: it is told nothing more"
		}
		err = p.want(&st, rest)
	}
	p.Steps = append(p.Steps, st)
	return err
}

// say wants a command to be one that the role can carry out, and each name in it to be one
// that it can have by then.
func (p *parser) say(sd *side, st *Step) (err error) {
	if st.Command, err = contract.ParseLine(st.Text); err != nil {
		return err
	}
	verb := st.Command.Verb
	switch {
	case sd.over != "":
		return fmt.Errorf("%s %s", st.Role, sd.over)
	case sd.waits:
		return fmt.Errorf("%s has not answered line %d", st.Role, sd.asked.Line)
	case verb == "signal" && !p.Kernel():
		return errors.New("signal is for play kernel: a peer ends by it")
	case !kernel.Vocabulary.Has(verb) || kernel.IsCall(verb) && !p.RunnerPlays(st.Role) || verb == "hello" || verb == "use":
		return fmt.Errorf("a peer is not told to %q", verb)
	}
	sd.asked, sd.waits = st, true
	numbered, err := MapNames(st.Text, func(name string) (int, error) {
		n, err := strconv.ParseInt(name, 0, 64)
		if err != nil && !sd.names[name] {
			return 0, fmt.Errorf("%s has no %q", st.Role, name)
		}
		return int(n), nil // 0 for a name
	})
	if err == nil {
		_, err = contract.ParseCommand(kernel.Vocabulary, numbered)
	}
	return err
}

// want adds an answer that will do: one that there can be to what was asked, of which each
// name is a file's. The side has these names from there on.
func (p *parser) want(st *Step, text string) (err error) {
	var w Want
	w.Text, w.Reason = cutReason(text)
	sd := p.sides[st.Role]
	if w.Line, err = contract.ParseLine(w.Text); err == nil && w.Text != "err" {
		err = contract.ValidateAnswer(kernel.Vocabulary, sd.asked.Command.Verb, w.Line)
	}
	if err == nil && len(st.Wants) > 0 && w.Reason == "" {
		err = fmt.Errorf("an alternative needs a reason: %q", w.Text)
	}
	if err != nil {
		return err
	}
	st.Wants = append(st.Wants, w)
	var items []string
	for _, key := range kernel.Vocabulary.FDFields() {
		items = append(items, w.Line.List(key)...)
	}
	items, err = expandNames(items)
	items, _, _ = cutClosed(items)
	for _, item := range items {
		name, as, named := strings.Cut(item, ":")
		if !named {
			as = name
		}
		isNew := name == NewName && named && p.RunnerPlays(st.Role) && (p.known[as] == 0 || p.known[as] == st.Line)
		if p.known[name] == 0 && !isNew {
			return fmt.Errorf("no file is named %q", name)
		}
		if !isName(as) {
			return fmt.Errorf("not a name: %q", as)
		}
		if isNew {
			p.known[as] = st.Line
		}
		sd.names[as] = true
	}
	return err
}

// act wants a line of the runner's own to be about what there is by then.
func (p *parser) act(a Act) error {
	sd := p.sides[a.Role]
	switch {
	case a.OfFile() && p.known[a.Name] == 0:
		return fmt.Errorf("no file is named %q", a.Name)
	case (a.Verb == "pos" || a.Verb == "flags") && !sd.names[a.Name]:
		return fmt.Errorf("%s has no %q", a.Role, a.Name)
	case a.Verb == "eof" && !p.dropped[a.Name]:
		return fmt.Errorf("eof %s: drop comes before eof", a.Name)
	case sd.over != "" && (!a.OfFile() || a.Verb == "unreported") && !a.OfSocket():
		return fmt.Errorf("%s %s", a.Role, sd.over)
	case (a.Verb == "blocked" || a.Verb == "settled") && !sd.waits:
		return fmt.Errorf("%s was asked nothing: %s is for one that has a command to answer", a.Role, a.Verb)
	case a.Verb == "kill" && a.Word == "SIGKILL":
		sd.over, sd.waits = "was killed: it is told nothing more", false
	case a.Verb == "drop":
		p.dropped[a.Name] = true
	case a.Verb == "unreported":
		sd.names[a.Name] = true
	}
	return nil
}
