package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A validator reads a whole scenario for what no line alone shows.
type validator struct {
	runs    func(Role) bool          // whether the runner plays the role
	files   map[string]string        // their kinds
	known   map[Role]map[string]bool // the names that a role has numbers for
	waiting map[Role]int             // the line that a role has not answered
	asked   map[Role]string          // its verb
	dropped map[string]bool          // the files that the runner has no copy of any more
}

// validate returns errors that begin with the scenario's name, and with the line where one
// is at fault.
func (s *Scenario) validate() error {
	switch {
	case len(s.Rule) < 2 || s.Rule[0] == "" || s.Rule[1] == "":
		return fmt.Errorf("%s: the first two lines say the rule and its source", s.Name)
	case len(s.Types) == 0:
		return fmt.Errorf("%s: no socket types", s.Name)
	case len(s.Steps) == 0:
		return fmt.Errorf("%s: no steps", s.Name)
	}
	v := validator{
		runs:    s.RunnerPlays,
		files:   map[string]string{},
		known:   map[Role]map[string]bool{RoleA: {}, RoleB: {}},
		waiting: map[Role]int{},
		asked:   map[Role]string{},
		dropped: map[string]bool{},
	}
	for _, f := range s.Files {
		if v.files[f.Name] != "" {
			return fmt.Errorf("%s: two files are named %q", s.Name, f.Name)
		}
		v.files[f.Name] = f.Kind
		v.known[f.Owner][f.Name] = true
	}
	for role, name := range SockNames {
		v.files[name] = "sock"
		v.known[role][name] = true
	}
	for _, st := range s.Steps {
		if err := v.step(st); err != nil {
			return fmt.Errorf("%s:%d: %w", s.Name, st.Line, err)
		}
	}
	for _, role := range []Role{RoleA, RoleB} {
		if n := v.waiting[role]; n != 0 {
			return fmt.Errorf("%s:%d: nobody hears the answer of %s", s.Name, n, role)
		}
	}
	if !slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Kind == StepHear }) {
		return fmt.Errorf("%s: no answer is expected: the scenario cannot fail", s.Name)
	}
	return nil
}

func (v *validator) step(st Step) error {
	switch {
	case st.Role == RoleR && st.Kind == StepHear:
		return fmt.Errorf("the runner does not answer")
	case st.Role == RoleR:
		return v.act(st.Act)
	case st.Kind == StepSay:
		if n := v.waiting[st.Role]; n != 0 {
			return fmt.Errorf("%s has not answered line %d", st.Role, n)
		}
		v.waiting[st.Role] = st.Line
		return v.said(st)
	case v.waiting[st.Role] == 0:
		return fmt.Errorf("%s was asked nothing", st.Role)
	}
	v.waiting[st.Role] = 0
	return v.heard(st)
}

// said wants each name in what is said to be one that the role has by then.
func (v *validator) said(st Step) error {
	l := st.Command
	v.asked[st.Role] = l.Verb
	if form, ok := contract.Forms()[l.Verb]; ok && v.runs(st.Role) {
		if err := checkCall(form, l); err != nil {
			return err
		}
	} else if _, ok := contract.AnswerForms[l.Verb]; !ok {
		return fmt.Errorf("a peer is not told to %q", l.Verb)
	}
	if err := contract.CheckValues(l); err != nil {
		return err
	}
	_, err := MapNames(st.Text, func(names []string) ([]string, error) {
		for _, name := range names {
			if _, err := strconv.ParseInt(name, 0, 64); err != nil && !v.known[st.Role][name] {
				return nil, fmt.Errorf("%s has no %q", st.Role, name)
			}
		}
		return names, nil
	})
	return err
}

// heard wants an answer to be whole, and each name in it to be a file's. The role
// has it from there.
func (v *validator) heard(st Step) error {
	for _, w := range st.Wants {
		if w.Line.Verb == "err" && (len(w.Line.Words) > 1 || len(w.Line.Fields) > 0) {
			return fmt.Errorf("an error is err and its name, or err alone for any")
		}
		if verb := v.asked[st.Role]; w.Line.Verb == "ok" {
			form, _ := contract.FormOf(verb)
			if err := form.Check(verb, w.Line); err != nil {
				return err
			}
			if err := contract.CheckAnswerValues(verb, w.Line); err != nil {
				return err
			}
		}
		var items []string
		for _, key := range contract.NumberFields {
			items = append(items, w.Line.List(key)...)
		}
		names, err := expandNames(items)
		if err != nil {
			return err
		}
		for i, name := range names {
			if isClosed(name) && i == len(names)-1 {
				continue
			}
			name, as, ok := strings.Cut(name, ":")
			if !ok {
				as = name
			}
			switch {
			case name == NewName && ok && v.runs(st.Role) && v.files[as] == "":
				v.files[as] = NewName
			case v.files[name] == "":
				return fmt.Errorf("no file is named %q", name)
			}
			if !isName(as) {
				return fmt.Errorf("not a name: %q", as)
			}
			v.known[st.Role][as] = true
		}
	}
	return nil
}
