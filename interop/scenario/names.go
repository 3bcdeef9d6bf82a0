package scenario

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scm-rights/scm/interop/kernel"
)

// NewName in an answer stands for a file that is new to the scenario. For example, "fd=new:x"
// gives such a file the name x.
const NewName = "new"

// fewer at the end of an expected list means that the answer may omit descriptors at the end, but not the first.
const fewer = "fewer"

// SockNames maps each role to the name of its socket.
var SockNames = map[Role]string{RoleA: "asock", RoleB: "bsock"}

// These match the items of a list of names, and the control messages that contain such a list.
var (
	nameForm   = regexp.MustCompile(`^[a-z]+[0-9]*$`)
	timesForm  = regexp.MustCompile(`^([a-z]+[0-9]*)\*([1-9][0-9]{0,3})$`)
	rangeForm  = regexp.MustCompile(`^([a-z]+)([0-9]{1,4})\.\.([a-z]+)([0-9]{1,4})$`)
	closedForm = regexp.MustCompile(`^closed(:[1-9][0-9]*)?$`)
	rightsForm = regexp.MustCompile(`\b(rights|pidfd)\([^()]+\)`)
)

// isName reports whether a word can be the name of a file. It rejects the reserved words "new" and
// "fewer", and words that begin with "closed".
func isName(word string) bool {
	return nameForm.MatchString(word) && !strings.HasPrefix(word, "closed") && word != NewName && word != fewer
}

// expandNames expands a*3 to a,a,a and a1..a3 to a1,a2,a3. Other items stay as they are.
func expandNames(items []string) (all []string, err error) {
	for _, item := range items {
		times, from := timesForm.FindStringSubmatch(item), rangeForm.FindStringSubmatch(item)
		switch {
		case times != nil:
			n, _ := strconv.Atoi(times[2])
			all = append(all, slices.Repeat([]string{times[1]}, n)...)
		case from != nil && from[1] == from[3]:
			first, _ := strconv.Atoi(from[2])
			last, _ := strconv.Atoi(from[4])
			if first > last {
				return nil, fmt.Errorf("%q goes backwards", item)
			}
			for i := first; i <= last; i++ {
				all = append(all, from[1]+strconv.Itoa(i))
			}
		case strings.Contains(item, "*"), strings.Contains(item, ".."):
			return nil, fmt.Errorf("neither NAME*N nor NAME1..NAME9: %q", item)
		default:
			all = append(all, item)
		}
	}
	return all, nil
}

// cutClosed removes the words at the end of a list that are not names: closed or closed:N at
// the very end, and fewer before it.
func cutClosed(items []string) (rest []string, few bool, closed string) {
	if last := len(items) - 1; last >= 0 && closedForm.MatchString(items[last]) {
		items, closed = items[:last], items[last]
	}
	if last := len(items) - 1; last > 0 && items[last] == fewer {
		items, few = items[:last], true
	}
	return items, few, closed
}

// MapNames replaces each name in a command with the descriptor that fd returns for it. In the
// commands for peers, only fds= contains names. In calls, sock=, fd=, dir= and control messages
// can also contain names.
func MapNames(text string, fd func(name string) (int, error)) (string, error) {
	words := strings.Split(text, " ")
	call := kernel.IsCall(words[0])
	var failed error
	list := func(names string) string {
		all, err := expandNames(strings.Split(names, ","))
		for i, name := range all {
			n, e := fd(name)
			all[i], err = strconv.Itoa(n), cmp.Or(err, e)
		}
		failed = cmp.Or(failed, err)
		return strings.Join(all, ",")
	}
	for i, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case value == "-" || value == "" || words[0] == "recv":
		case key == "fds" || call && slices.Contains([]string{"sock", "fd", "dir"}, key):
			words[i+1] = key + "=" + list(value)
		case call && (key == "control" || key == "fill"):
			words[i+1] = rightsForm.ReplaceAllStringFunc(w, func(item string) string {
				kind, names, _ := strings.Cut(strings.TrimSuffix(item, ")"), "(")
				return kind + "(" + list(names) + ")"
			})
		}
	}
	return strings.Join(words, " "), failed
}
