package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxNames is how many names a list may stand for: more than a message carries
// descriptors, and than a session has numbers for.
const maxNames = 1000

// fewer stands last in an expected list of which the first ones will do.
const fewer = "fewer"

// The forms of an item in a list of names.
var (
	nameForm  = regexp.MustCompile(`^[a-z]+[0-9]*$`)
	timesForm = regexp.MustCompile(`^([a-z]+[0-9]*)\*([1-9][0-9]*)$`)
	rangeForm = regexp.MustCompile(`^([a-z]+)([0-9]+)\.\.([a-z]+)([0-9]+)$`)
)

// expandNames turns a*3 into a,a,a and a1..a3 into a1,a2,a3. Other items stay as
// they are.
func expandNames(items []string) ([]string, error) {
	var all []string
	for _, item := range items {
		switch {
		case strings.Contains(item, "*"):
			m := timesForm.FindStringSubmatch(item)
			if m == nil {
				return nil, fmt.Errorf("not NAME*N: %q", item)
			}
			n, err := strconv.Atoi(m[2])
			if err != nil || n > maxNames-len(all) {
				return nil, fmt.Errorf("%q stands for more than %d names", item, maxNames)
			}
			all = append(all, slices.Repeat([]string{m[1]}, n)...)
		case strings.Contains(item, ".."):
			m := rangeForm.FindStringSubmatch(item)
			if m == nil || m[1] != m[3] {
				return nil, fmt.Errorf("not NAME1..NAME9: %q", item)
			}
			from, err1 := strconv.Atoi(m[2])
			to, err2 := strconv.Atoi(m[4])
			switch {
			case err1 != nil || err2 != nil:
				return nil, fmt.Errorf("%q stands for more than %d names", item, maxNames)
			case from > to:
				return nil, fmt.Errorf("%q goes backwards", item)
			case to-from >= maxNames-len(all): // neither is negative: no difference is too large for an int
				return nil, fmt.Errorf("%q stands for more than %d names", item, maxNames)
			}
			for i := range to - from + 1 {
				all = append(all, m[1]+strconv.Itoa(from+i))
			}
		default:
			all = append(all, item)
		}
	}
	if len(all) > maxNames {
		return nil, fmt.Errorf("more than %d names", maxNames)
	}
	return all, nil
}

// isName tells whether a word can be the name of a file: some have a meaning of their own.
func isName(word string) bool {
	return nameForm.MatchString(word) && !strings.HasPrefix(word, "closed") && word != NewName && word != fewer
}

// isClosed tells whether an item of an expected list is closed or closed:N.
func isClosed(item string) bool {
	count, ok := strings.CutPrefix(item, "closed:")
	if !ok {
		return item == "closed"
	}
	n, err := strconv.Atoi(count)
	return err == nil && n > 0
}
