package scenario

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scm-rights/scm/interop/contract"
)

// Parse reads a transcript. The form is told in interop/catalogue/README.md.
func Parse(name string, text []byte) (*Scenario, error) {
	s := &Scenario{Name: name, Play: PlayPair, Hash: hash(text)}
	for i, l := range strings.Split(string(text), "\n") {
		if err := s.parseLine(strings.TrimRight(l, " \t"), i+1); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Scenario) parseLine(l string, number int) error {
	switch {
	case !text(l): // the rule is printed in lists, a line in errors
		return fmt.Errorf("not text: %q", l)
	case l == "":
		return nil
	case strings.HasPrefix(l, "#"):
		// Comments further down are not of the rule.
		if len(s.Rule) == number-1 {
			s.Rule = append(s.Rule, strings.TrimSpace(l[1:]))
		}
		return nil
	case strings.HasPrefix(l, " | "):
		if len(s.Steps) == 0 || s.Steps[len(s.Steps)-1].Kind != StepHear {
			return fmt.Errorf("an alternative to nothing")
		}
		last := &s.Steps[len(s.Steps)-1]
		return last.want(l[3:])
	case len(l) > 3 && (l[1] == byte(StepSay) || l[1] == byte(StepHear)):
		return s.parseStep(l, number)
	}
	return s.parseDirective(l)
}

// text tells whether a line has only characters that are printed, and tabs.
func text(l string) bool {
	return utf8.ValidString(l) && !strings.ContainsFunc(l, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) })
}

func (s *Scenario) parseStep(l string, number int) error {
	st := Step{Role: Role(l[0]), Kind: StepKind(l[1]), Line: number}
	rest := l[2:]
	if st.Role != RoleA && st.Role != RoleB && st.Role != RoleR {
		return fmt.Errorf("no such role: %q", l[:1])
	}
	rest, st.Async = strings.CutPrefix(rest, "&")
	rest, ok := strings.CutPrefix(rest, " ")
	if !ok || rest == "" {
		return fmt.Errorf("no space after %q", l[:2])
	}
	if st.Kind == StepSay {
		st.Text, _ = cutReason(rest)
		var err error
		if st.Command, err = contract.ParseLine(st.Text); err == nil && st.Role == RoleR {
			st.Act, err = parseAct(st.Text)
		}
		if err != nil {
			return err
		}
	} else if err := st.want(rest); err != nil {
		return err
	}
	s.Steps = append(s.Steps, st)
	return nil
}

func (st *Step) want(text string) error {
	w := Want{}
	w.Text, w.Reason = cutReason(text)
	var err error
	if w.Line, err = contract.ParseLine(w.Text); err != nil {
		return err
	}
	switch w.Line.Verb {
	case "ok", "err":
	default:
		return fmt.Errorf("an answer is ok or err, not %q", w.Line.Verb)
	}
	if len(st.Wants) > 0 && w.Reason == "" {
		return fmt.Errorf("an alternative needs a reason: %q", w.Text)
	}
	st.Wants = append(st.Wants, w)
	return nil
}

// cutReason splits a line at the comment behind it.
func cutReason(l string) (text, reason string) {
	text, reason, _ = strings.Cut(l, "  #")
	return strings.TrimRight(text, " "), strings.TrimSpace(reason)
}

func (s *Scenario) parseDirective(l string) error {
	directive, _ := cutReason(l)
	words := strings.Split(directive, " ")
	switch words[0] {
	case "on":
		for _, t := range words[1:] {
			if !slices.Contains(contract.SocketTypes, t) {
				return fmt.Errorf("no such socket type: %q", t)
			}
			if slices.Contains(s.Types, t) {
				return fmt.Errorf("%s twice", t)
			}
			s.Types = append(s.Types, t)
		}
	case "play":
		if len(words) != 2 {
			return fmt.Errorf("play takes one word")
		}
		s.Play = Play(words[1])
		if !slices.Contains([]Play{PlayPair, PlaySolo, PlaySender, PlayReceiver, PlayKernel}, s.Play) {
			return fmt.Errorf("no such way to play: %q", words[1])
		}
	case "room":
		if len(words) != 2 || words[1] != "any" {
			return fmt.Errorf("the only room is any")
		}
		s.RoomAny = true
	case "waits":
		if len(words) != 2 || words[1] != "A" && words[1] != "B" {
			return fmt.Errorf("who waits is A or B")
		}
		s.Waits = append(s.Waits, Role(words[1][0]))
	case "needs":
		for _, w := range words[1:] {
			if !slices.Contains(needs, w) {
				return fmt.Errorf("no such need: %q; needs are %s", w, strings.Join(needs, " "))
			}
			s.Needs = append(s.Needs, w)
		}
	case "user":
		return s.parseUser(words[1:])
	case "files":
		for _, w := range words[1:] {
			if err := s.parseFile(w); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("not a line of a transcript: %q", l)
	}
	return nil
}

// parseUser reads A uid=65534 nofile=64.
func (s *Scenario) parseUser(words []string) error {
	l, err := contract.ParseLine(strings.Join(words, " "))
	if err != nil {
		return err
	}
	var u User
	for _, f := range []struct {
		key  string
		most int
		to   *int
	}{{"uid", math.MaxInt32, &u.UID}, {"nofile", mostLimit, &u.NoFile}} {
		value, ok := l.Fields[f.key]
		n, err := strconv.Atoi(value)
		if ok && (err != nil || n <= 0 || n > f.most) {
			return fmt.Errorf("%s=%s is no number from 1 to %d", f.key, value, f.most)
		}
		*f.to = n
		delete(l.Fields, f.key)
	}
	if l.Verb != "A" && l.Verb != "B" || u.UID == 0 || len(l.Fields)+len(l.Words) > 0 {
		return fmt.Errorf("user takes A or B, uid=N and nofile=N")
	}
	if s.Users == nil {
		s.Users = map[Role]User{}
	}
	if _, twice := s.Users[Role(l.Verb[0])]; twice {
		return fmt.Errorf("two users of %s", l.Verb)
	}
	s.Users[Role(l.Verb[0])] = u
	return nil
}

// parseFile reads a=pipe-r, a@B=pipe-r or a1..a9=memfd.
func (s *Scenario) parseFile(w string) error {
	name, kind, ok := strings.Cut(w, "=")
	end, isEnd := strings.CutPrefix(kind, "end:")
	if isEnd {
		ok = slices.ContainsFunc(s.Files, func(f FileSpec) bool { return f.Name == end && has(f.Kind, twoEnded) }) &&
			!slices.ContainsFunc(s.Files, func(f FileSpec) bool { return f.Kind == kind })
	}
	if !ok || !isEnd && !slices.ContainsFunc(FileKinds, func(k FileKind) bool { return k.Name == kind }) {
		return fmt.Errorf("not a file: %q; kinds are %s", w, kindNames())
	}
	name, owner, ok := strings.Cut(name, "@")
	if !ok {
		owner = "A"
	}
	if owner != "A" && owner != "B" {
		return fmt.Errorf("no such owner: %q", owner)
	}
	names, err := expandNames([]string{name})
	if err != nil {
		return err
	}
	if len(s.Files)+len(names) > maxNames {
		return fmt.Errorf("more than %d files", maxNames)
	}
	for _, n := range names {
		if !isName(n) {
			return fmt.Errorf("not a name: %q", n)
		}
		s.Files = append(s.Files, FileSpec{Name: n, Owner: Role(owner[0]), Kind: kind})
	}
	return nil
}
