package scenario

import (
	"regexp"
	"strings"

	"github.com/scm-rights/scm/interop/contract"
)

// nameFields are the fields of a call that hold names of descriptors; rights and
// pidfd messages do too, inside control= and fill=.
var nameFields = map[string]bool{"sock": true, "fd": true, "fds": true, "dir": true}

// NewName in an answer stands for whatever is new there: fd=new:x.
const NewName = "new"

// The names of the two sockets of a case, by who has them.
var SockNames = map[Role]string{RoleA: "asock", RoleB: "bsock"}

var rightsForm = regexp.MustCompile(`\b(rights|pidfd)\(([^()]*)\)`)

// MapNames replaces each list of names in a command by what f returns for it.
func MapNames(text string, f func(names []string) ([]string, error)) (string, error) {
	words := strings.Split(text, " ")
	_, call := contract.Forms()[words[0]]
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
