// Package catalogue holds the scenarios of the interop suite, as data.
package catalogue

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/display"
)

//go:embed README.md expected.txt */*.txt
var files embed.FS

// Files are the transcripts GROUP/ID.txt, the README.md that tells how to read
// them, and expected.txt.
func Files() fs.FS { return files }

// Scenarios returns all scenarios, sorted by name.
func Scenarios() ([]*scenario.Scenario, error) { return Load(files) }

// Load reads the transcripts GROUP/ID.txt of a folder.
func Load(dir fs.FS) ([]*scenario.Scenario, error) {
	names, err := transcripts(dir)
	if err != nil {
		return nil, err
	}
	var list []*scenario.Scenario
	for _, name := range names {
		group, id, _ := strings.Cut(strings.TrimSuffix(name, path.Ext(name)), "/")
		if !display.IsName(group) || !display.IsName(id) {
			return nil, fmt.Errorf("not the name of a scenario: %q", name)
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		s, err := scenario.Parse(strings.TrimSuffix(name, path.Ext(name)), text)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// ExpectedFile is the name of the file of expected failures.
const ExpectedFile = "expected.txt"

// Expected returns what is known to fail, with the peers of interop/peers.
func Expected() ([]scenario.Expectation, error) {
	text, err := fs.ReadFile(files, ExpectedFile)
	if err != nil {
		return nil, err
	}
	return scenario.ParseExpectations(text)
}
