package interop

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/scm-rights/scm/interop/actor"
)

// nameFields are the fields of a call that hold names of descriptors; rights and
// pidfd messages do too, inside control= and fill=.
var nameFields = map[string]bool{"sock": true, "fd": true, "fds": true, "dir": true}

// numberFields are the fields of an answer that hold new numbers, in the order in
// which they are told.
var numberFields = []string{"fds", "fd", "pidfd"}

// newName in an answer stands for whatever is new there: fd=new:x.
const newName = "new"

// The names of the two sockets of a case, by who has them.
var sockNames = map[Role]string{RoleA: "asock", RoleB: "bsock"}

var rightsForm = regexp.MustCompile(`\b(rights|pidfd)\(([^()]*)\)`)

// mapNames puts what f makes of each list of names in its place, wherever the words
// of a command have one.
func mapNames(text string, f func(names []string) ([]string, error)) (string, error) {
	words := strings.Split(text, " ")
	_, call := actor.Forms[words[0]]
	var failed error
	list := func(names string) string {
		all, err := expandNames(strings.Split(names, ","))
		if err == nil {
			all, err = f(all)
		}
		if err != nil && failed == nil {
			failed = err
		}
		return strings.Join(all, ",")
	}
	for i, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case value == "-" || value == "" || words[0] == "recv":
		case key == "fds" || call && nameFields[key]:
			words[i+1] = key + "=" + list(value)
		case call && (key == "control" || key == "fill"):
			words[i+1] = key + "=" + rightsForm.ReplaceAllStringFunc(value, func(item string) string {
				m := rightsForm.FindStringSubmatch(item)
				if m[2] == "" {
					return item
				}
				return m[1] + "(" + list(m[2]) + ")"
			})
		}
	}
	return strings.Join(words, " "), failed
}

// checkCall wants the words of a call to be those that it takes.
func checkCall(form actor.Form, l line) error {
	for key := range l.fields {
		if !form.Word(key) {
			return fmt.Errorf("%s takes no %s=", l.verb, key)
		}
	}
	if len(l.words) > 0 {
		return fmt.Errorf("%s takes no word %s", l.verb, l.words[0])
	}
	return actor.Check(l.verb, l.fields)
}

// formOf is what the answer to a command looks like.
func formOf(verb string) (answerForm, bool) {
	if form, ok := actor.Forms[verb]; ok {
		return answerForm{may: form.Gives}, true
	}
	form, ok := answerForms[verb]
	return form, ok
}
