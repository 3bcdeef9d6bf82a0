// Package catalogue holds the scenarios of the interop suite, as data.
package catalogue

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/display"
)

//go:embed README.md expected.txt */*.txt
var files embed.FS

// Files are the transcripts GROUP/ID.txt, the README.md that tells how to read
// them, and expected.txt.
func Files() fs.FS { return files }

// Open opens a folder as a catalogue.
func Open(dir string) (fs.FS, error) {
	_, err := os.ReadDir(dir)
	return os.DirFS(dir), err
}

// Scenarios returns all scenarios, sorted by name.
func Scenarios() ([]*scenario.Scenario, error) { return Load(files) }

// Load reads the transcripts GROUP/ID.txt of a folder.
func Load(dir fs.FS) ([]*scenario.Scenario, error) {
	list, wrong := load(dir)
	if len(wrong) > 0 {
		return nil, wrong[0]
	}
	return list, nil
}

func load(dir fs.FS) (list []*scenario.Scenario, wrong []error) {
	names, err := fs.Glob(dir, "*/[^.]*.txt") // hidden are lock files of editors
	if err != nil {
		return nil, []error{err}
	}
	for _, file := range names {
		name := strings.TrimSuffix(file, ".txt")
		group, id, _ := strings.Cut(name, "/")
		text, err := fs.ReadFile(dir, file)
		if err == nil && (!display.IsName(group) || !display.IsName(id)) {
			err = fmt.Errorf("not the name of a scenario: %q", file)
		}
		var s *scenario.Scenario
		if err == nil {
			s, err = scenario.Parse(name, text)
		}
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		list = append(list, s)
	}
	return list, wrong
}

// ExpectedFile is the name of the file of expected failures.
const ExpectedFile = "expected.txt"

// Expected returns what is known to fail, with the peers of interop/peers.
func Expected() ([]scenario.Expectation, error) { return expected(files) }

func expected(dir fs.FS) ([]scenario.Expectation, error) {
	text, err := fs.ReadFile(dir, ExpectedFile)
	if err != nil {
		return nil, err
	}
	return scenario.ParseExpectations(text)
}

var nameForm = regexp.MustCompile(`^[a-z]+/[a-z0-9]+(-[a-z0-9]+)*$`)

// Check tells what is wrong with the transcripts of a folder: those that cannot be
// read, and what no transcript alone shows. Where they can be, so are the expected
// failures, if there are any.
func Check(dir fs.FS) []error {
	list, wrong := load(dir)
	if len(list)+len(wrong) == 0 {
		return []error{errors.New("there is no GROUP/ID.txt")}
	}
	ids, hashes := map[string]string{}, map[string]string{}
	for _, s := range list {
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
	if len(wrong) > 0 {
		return wrong
	}
	lines, err := expected(dir)
	if err == nil {
		err = scenario.CheckExpectations(lines, list)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []error{fmt.Errorf("%s: %w", ExpectedFile, err)}
	}
	return nil
}
