package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// A validator reads a whole scenario for what no line alone shows.
type validator struct {
	runs    func(Role) bool   // whether the runner plays the role
	files   map[string]string // their kinds
	roles   map[Role]*roleState
	dropped map[string]bool // the files that the runner has no copy of any more
}

// A roleState is how a role is after the lines read so far.
type roleState struct {
	names   map[string]string // the names that it has numbers for, and their files
	unsure  map[string]int    // the names that not every answer of this line gives it
	closed  map[string]bool   // the names that it was told to close
	waiting *Step             // the line that it has not answered
	asked   contract.Line     // what it was told last
	over    string            // why it is told nothing more
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
		roles:   map[Role]*roleState{},
		dropped: map[string]bool{},
	}
	for role, name := range SockNames {
		v.files[name] = "sock"
		v.roles[role] = &roleState{names: map[string]string{name: name}, unsure: map[string]int{}, closed: map[string]bool{}}
	}
	for _, f := range s.Files {
		if v.files[f.Name] != "" {
			return fmt.Errorf("%s: two files are named %q", s.Name, f.Name)
		}
		v.files[f.Name] = f.Kind
		v.roles[f.Owner].names[f.Name] = f.Name
	}
	for _, st := range s.Steps {
		if err := v.step(st); err != nil {
			return fmt.Errorf("%s:%d: %w", s.Name, st.Line, err)
		}
	}
	for _, role := range []Role{RoleA, RoleB} {
		if st := v.roles[role].waiting; st != nil {
			return fmt.Errorf("%s:%d: nobody hears the answer of %s", s.Name, st.Line, role)
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
	case st.Role == RoleR && st.Async:
		return fmt.Errorf("nobody waits for the runner: R> has no &")
	case st.Role == RoleR:
		return v.act(st.Act)
	}
	r := v.roles[st.Role]
	switch {
	case r.over != "" && st.Kind == StepSay:
		return fmt.Errorf("%s %s", st.Role, r.over)
	case st.Kind == StepSay:
		if r.waiting != nil {
			return fmt.Errorf("%s has not answered line %d", st.Role, r.waiting.Line)
		}
		r.waiting, r.asked = &st, st.Command
		return v.said(st)
	case r.waiting == nil:
		return fmt.Errorf("%s was asked nothing", st.Role)
	case st.Async != r.waiting.Async:
		return fmt.Errorf("%s<& hears the answer to %s>&, and %s< that to %s>", st.Role, st.Role, st.Role, st.Role)
	}
	r.waiting = nil
	if r.asked.Verb == "end" {
		r.over = "has ended the case: it is told nothing more"
	}
	return v.heard(st)
}

// said wants a command to be one that the role can carry out, and each name in it to be one
// that it has by then.
func (v *validator) said(st Step) error {
	l, r := st.Command, v.roles[st.Role]
	if _, ok := contract.Forms()[l.Verb]; ok && v.runs(st.Role) {
		if err := contract.Check(l.Verb, l.Fields); err != nil {
			return err
		}
		if l.Verb == "signal" && !(v.runs(RoleA) && v.runs(RoleB)) {
			return fmt.Errorf("signal is for play kernel: a peer ends by it")
		}
	} else if _, ok := contract.AnswerForms[l.Verb]; !ok {
		return fmt.Errorf("a peer is not told to %q", l.Verb)
	}
	text, err := MapNames(st.Text, func(names []string) ([]string, error) {
		var numbers []string
		for _, name := range names {
			n, err := strconv.ParseInt(name, 0, 64)
			switch {
			case l.Verb == "close" || l.Verb == "adopt":
				if err := r.has(st.Role, name); err != nil {
					return nil, err
				}
				r.closed[name] = l.Verb == "close"
			case err != nil && r.names[name] == "":
				return nil, r.has(st.Role, name)
			}
			numbers = append(numbers, strconv.FormatInt(n, 10)) // 0 for a name
		}
		return numbers, nil
	})
	if err != nil {
		return err
	}
	numbered, err := contract.ParseLine(text)
	if err != nil {
		return err
	}
	return contract.CheckValues(numbered, l)
}

// has returns an error unless the role has an open number of this name, whatever was
// answered.
func (r *roleState) has(role Role, name string) error {
	switch {
	case r.closed[name]:
		return fmt.Errorf("%s was told to close %q", role, name)
	case r.names[name] != "":
		return nil
	case r.unsure[name] != 0:
		return fmt.Errorf("%s may have no %q: not every answer of line %d gives it", role, name, r.unsure[name])
	}
	return fmt.Errorf("%s has no %q", role, name)
}

// heard wants an answer to be whole, and each name in it to be a file's. The role has what
// all alternatives name from there.
func (v *validator) heard(st Step) error {
	r := v.roles[st.Role]
	given := map[string]int{}    // how many alternatives give the name
	files := map[string]string{} // the files of these names, in the last that does
	for _, w := range st.Wants {
		names, err := v.names(st.Role, w)
		if err != nil {
			return err
		}
		for as, file := range names {
			given[as]++
			files[as] = file
		}
	}
	for as, n := range given {
		switch {
		case n == len(st.Wants):
			r.give(as, files[as])
			if files[as] == NewName {
				v.files[as] = NewName
				r.names[as] = as
			}
		case r.names[as] == "" || r.closed[as]:
			delete(r.names, as)
			delete(r.closed, as)
			r.unsure[as] = st.Line
		}
	}
	return nil
}

// give notes that the role has a number for the file.
func (r *roleState) give(name, file string) {
	r.names[name] = file
	delete(r.unsure, name)
	delete(r.closed, name)
}

// names returns the names that an answer gives to numbers, and what file each is.
func (v *validator) names(role Role, w Want) (map[string]string, error) {
	asked := v.roles[role].asked
	if w.Line.Verb == "err" && w.Text != "err" {
		if err := contract.CheckError(w.Line); err != nil {
			return nil, err
		}
	}
	if w.Line.Verb == "ok" {
		form, _ := contract.FormOf(asked.Verb)
		if err := form.Check(asked.Verb, w.Line); err != nil {
			return nil, err
		}
		if err := contract.CheckAnswerValues(asked, w.Line); err != nil {
			return nil, err
		}
	}
	var items []string
	for _, key := range contract.NumberFields {
		items = append(items, w.Line.List(key)...)
	}
	items, err := expandNames(items)
	if err != nil {
		return nil, err
	}
	if last := len(items) - 1; last >= 0 && isClosed(items[last]) {
		items = items[:last]
	}
	few := len(items) > 2 && items[len(items)-1] == fewer
	if few {
		items = items[:len(items)-1]
	}
	names := map[string]string{}
	for i, name := range items {
		name, as, ok := strings.Cut(name, ":")
		if !ok {
			as = name
		}
		isNew := name == NewName && ok && v.runs(role) && v.files[as] == "" && names[as] == ""
		if v.files[name] == "" && !isNew {
			return nil, fmt.Errorf("no file is named %q", name)
		}
		if !isName(as) {
			return nil, fmt.Errorf("not a name: %q", as)
		}
		if !few || i == 0 { // the others may not have come
			names[as] = name
		}
	}
	return names, nil
}

// act wants a line of the runner's own to be about what there is by then.
func (v *validator) act(a Act) error {
	r := v.roles[a.Role]
	ofFile := slices.Contains([]string{"seek", "drop", "eof"}, a.Verb)
	if r.over != "" && !a.OfSocket() && !ofFile {
		return fmt.Errorf("%s %s", a.Role, r.over)
	}
	kind := v.files[a.Name]
	switch a.Verb {
	case "unreported":
		if kind == "" {
			return fmt.Errorf("no file is named %q", a.Name)
		}
		r.give(a.Name, a.Name)
	case "seek", "drop", "eof":
		return v.actOnFile(a, kind)
	case "pos", "flags":
		return r.has(a.Role, a.Name)
	case "blocked":
		if r.waiting == nil {
			return fmt.Errorf("%s was asked nothing: blocked is for one that has a command to answer", a.Role)
		}
	case "kill":
		if a.Word == "SIGKILL" {
			r.over, r.waiting = "was killed: it is told nothing more", nil
		}
	}
	return nil
}

func (v *validator) actOnFile(a Act, kind string) error {
	switch {
	case kind == "", kind == "sock", kind == NewName:
		return fmt.Errorf("no file is named %q", a.Name)
	case a.Verb == "seek" && !has(kind, seekable):
		return fmt.Errorf("%q is a %s, which has no offset to set", a.Name, kind)
	case a.Verb == "eof" && !has(kind, twoEnded):
		return fmt.Errorf("%q is a %s, which has no other end", a.Name, kind)
	case a.Verb == "eof" && slices.Contains(slices.Collect(maps.Values(v.files)), "end:"+a.Name):
		return fmt.Errorf("the other end of %q is a file of the case: eof is told of an end that the runner has", a.Name)
	case a.Verb == "eof" && !v.dropped[a.Name], a.Verb == "seek" && v.dropped[a.Name]:
		return fmt.Errorf("%s %s: drop comes before eof, and not before seek", a.Verb, a.Name)
	case a.Verb == "drop":
		v.dropped[a.Name] = true
	case a.Verb == "eof":
		for _, role := range []Role{RoleA, RoleB} {
			r := v.roles[role]
			for _, name := range slices.Sorted(maps.Keys(r.names)) {
				if r.over == "" && r.names[name] == a.Name && !r.closed[name] {
					return fmt.Errorf("eof %s: %s has %q open, and was not told to close it", a.Name, role, name)
				}
			}
		}
	}
	return nil
}
