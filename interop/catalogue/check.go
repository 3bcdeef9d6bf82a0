package catalogue

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"
)

var nameForm = regexp.MustCompile(`^[a-z]+/[a-z0-9]+(-[a-z0-9]+)*$`)

// Check tells what is wrong with the transcripts of a folder: those that cannot be
// read, and what no transcript alone shows. Where they can be, so are the expected
// failures, if there are any.
func Check(dir fs.FS) (wrong []error) {
	names, err := transcripts(dir)
	if err != nil {
		return []error{err}
	}
	if len(names) == 0 {
		return []error{fmt.Errorf("there is no GROUP/ID.txt")}
	}
	ids, hashes := map[string]string{}, map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		s, err := scenario.Parse(strings.TrimSuffix(name, ".txt"), text)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		find := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("%s: %s", s.Name, fmt.Sprintf(format, args...)))
		}
		_, id, _ := strings.Cut(s.Name, "/")
		if !nameForm.MatchString(s.Name) {
			find("a name is GROUP/ID, of small letters, digits and dashes")
		}
		if other := ids[id]; other != "" {
			find("%s has this name too", other)
		}
		if other := hashes[s.Hash]; other != "" {
			find("the same text as %s", other)
		}
		ids[id], hashes[s.Hash] = s.Name, s.Name
		if !strings.HasSuffix(s.Rule[0], ".") {
			find("the rule is no sentence: %s", s.Rule[0])
		}
		for _, st := range s.Steps {
			reasons := map[string]bool{}
			for _, w := range st.Wants {
				if w.Reason != "" && reasons[w.Reason] {
					find("line %d: an alternative needs a reason of its own: %s", st.Line, w.Text)
				}
				reasons[w.Reason] = true
			}
		}
	}
	if len(wrong) == 0 {
		if err := checkExpected(dir); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", ExpectedFile, err))
		}
	}
	return wrong
}

// checkExpected tells what is wrong with the expected failures of a folder.
func checkExpected(dir fs.FS) error {
	text, err := fs.ReadFile(dir, ExpectedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := scenario.ParseExpectations(text)
	if err != nil {
		return err
	}
	scenarios, err := Load(dir)
	if err != nil {
		return err
	}
	return scenario.CheckExpectations(list, scenarios)
}
