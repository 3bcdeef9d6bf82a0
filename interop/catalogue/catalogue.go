// Package catalogue holds the scenarios of the interop suite, as data.
package catalogue

import (
	"embed"
	"io/fs"
	"path"
	"strings"

	"github.com/scm-rights/scm/interop"
)

//go:embed */*.txt
var transcripts embed.FS

//go:embed expected.txt
var expected []byte

// Scenarios returns all scenarios, sorted by name.
func Scenarios() ([]*interop.Scenario, error) { return Load(transcripts) }

// Load reads the transcripts GROUP/ID.txt of a folder.
func Load(dir fs.FS) ([]*interop.Scenario, error) {
	names, err := fs.Glob(dir, "*/*.txt")
	if err != nil {
		return nil, err
	}
	var list []*interop.Scenario
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		s, err := interop.ParseScenario(strings.TrimSuffix(name, path.Ext(name)), text)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Expected returns what is known to fail, with the peers of interop/peers.
func Expected() ([]interop.Expectation, error) { return interop.ParseExpectations(expected) }
