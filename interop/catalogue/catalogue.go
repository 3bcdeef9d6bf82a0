// Package catalogue contains the scenarios of the interop suite, and reads catalogues with
// the same layout from folders.
package catalogue

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

//go:embed README.md expected.txt expected-gvisor.txt peer/README.md peer/*/*.txt kernel/README.md kernel/*/*.txt
var files embed.FS

// The two folders of a catalogue. A user's own catalogue may omit both folders.
const (
	peerFolder   = "peer"
	kernelFolder = "kernel"
)

// Files returns the embedded catalogue, which contains the transcripts, the README files and
// the lists of expected failures.
func Files() fs.FS { return files }

// Open opens a folder as a catalogue.
func Open(dir string) (fs.FS, error) {
	_, err := os.ReadDir(dir)
	return os.DirFS(dir), err
}

// A transcript is a text file in a catalogue. It describes one scenario, unless the text is
// malformed.
type transcript struct {
	path   string // in the catalogue
	folder string // peerFolder, kernelFolder, or "" in a catalogue without the two
}

// name returns the name of the scenario, GROUP/ID.
func (t transcript) name() string {
	return strings.TrimSuffix(strings.TrimPrefix(t.path, t.folder+"/"), ".txt")
}

// compare orders transcripts by group, then by file name.
func (t transcript) compare(other transcript) int {
	return cmp.Or(
		cmp.Compare(path.Dir(t.name()), path.Dir(other.name())),
		cmp.Compare(path.Base(t.path), path.Base(other.path)),
		cmp.Compare(t.folder, other.folder),
	)
}

// find lists the transcripts of a catalogue in one of two layouts: peer/GROUP/ID.txt and
// kernel/GROUP/ID.txt, or GROUP/ID.txt. A file two folders deep is part of the first layout
// and a file one folder deep is part of the second, even if the group is called "peer" or
// "kernel".
func find(dir fs.FS) (list []transcript, err error) {
	for _, folder := range []string{"", peerFolder, kernelFolder} {
		// Ignore names that begin with a dot, because editors use them for lock files.
		paths, err := fs.Glob(dir, path.Join(folder, "*/[^.]*.txt"))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			list = append(list, transcript{p, folder})
		}
	}
	if len(list) > 0 {
		first, last := list[0], list[len(list)-1]
		if first.folder == "" && last.folder != "" {
			return nil, fmt.Errorf("%s and %s: a catalogue has either peer/GROUP/ID.txt and kernel/GROUP/ID.txt, or GROUP/ID.txt, not both", first.path, last.path)
		}
	}
	slices.SortFunc(list, transcript.compare)
	return list, nil
}

// Names returns the names of all scenarios, in the order of Scenarios.
func Names() (names []string) {
	list, _ := find(files) // TestScenarios reads them all
	for _, t := range list {
		names = append(names, t.name())
	}
	return names
}

// Text returns the text of the named scenario.
func Text(name string) ([]byte, error) {
	list, _ := find(files)
	i := slices.IndexFunc(list, func(t transcript) bool { return t.name() == name })
	if i < 0 {
		return nil, fmt.Errorf("no scenario is named %q", name)
	}
	return files.ReadFile(list[i].path)
}

// SourceIDs returns the IDs of the rows in sources.txt that the second line of a scenario names:
// "sources.txt: ID, ID". A scenario of another catalogue need not name any.
func SourceIDs(s *scenario.Scenario) []string {
	ids := []string{}
	_, list, found := strings.Cut(s.Rule[1], "sources.txt: ")
	for id := range strings.SplitSeq(list, ",") {
		if id, _, _ = strings.Cut(strings.TrimSpace(id), " "); found {
			ids = append(ids, id)
		}
	}
	return ids
}

// Scenarios returns all scenarios, sorted by group and file name.
func Scenarios() ([]*scenario.Scenario, error) { return Load(files) }

// Load reads the transcripts of a catalogue.
func Load(dir fs.FS) ([]*scenario.Scenario, error) {
	list, wrong := load(dir)
	if len(wrong) > 0 {
		return nil, wrong[0]
	}
	return list, nil
}

func load(dir fs.FS) (list []*scenario.Scenario, wrong []error) {
	found, err := find(dir)
	if err != nil {
		return nil, []error{err}
	}
	for i, t := range found {
		if i > 0 && found[i-1].name() == t.name() {
			wrong = append(wrong, fmt.Errorf("%s and %s are both called %s", found[i-1].path, t.path, t.name()))
			continue
		}
		s, err := t.read(dir)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		list = append(list, s)
	}
	return list, wrong
}

// read parses a transcript. If the catalogue has the folders peer and kernel, the scenarios
// in kernel must contain the line "play kernel" and those in peer must not.
func (t transcript) read(dir fs.FS) (*scenario.Scenario, error) {
	text, err := fs.ReadFile(dir, t.path)
	if err != nil {
		return nil, err
	}
	group, id, _ := strings.Cut(t.name(), "/")
	if !display.IsName(group) || !display.IsName(id) {
		return nil, fmt.Errorf("%q is not the name of a scenario", t.path)
	}
	s, err := scenario.Parse(t.name(), text)
	switch {
	case err != nil:
		return nil, err
	case t.folder == peerFolder && s.Kernel():
		return nil, fmt.Errorf(`%s: a scenario with the line "play kernel" belongs in kernel/`, t.path)
	case t.folder == kernelFolder && !s.Kernel():
		return nil, fmt.Errorf(`%s: a scenario in kernel/ needs the line "play kernel"`, t.path)
	case t.folder == peerFolder:
		return s, s.ValidatePeer()
	}
	return s, nil
}

// Names of the files that list expected failures. The second one is only for runs on gVisor.
const ExpectedFile, GVisorFile = "expected.txt", "expected-gvisor.txt"

// BuiltinList begins the File of the lines that Expected returns.
const BuiltinList = "built-in list"

// Expected returns the failures that are expected of the peers in interop/peers, on a kernel of this kind.
func Expected(kind string) (list []expected.Line, err error) {
	if list, err = lines(files, ExpectedFile, BuiltinList); err == nil && kind == expected.GVisor {
		var more []expected.Line
		more, err = lines(files, GVisorFile, BuiltinList+" for gVisor")
		list = append(list, more...)
	}
	expected.MarkBuiltin(list, list)
	return list, err
}

// lines reads a list of a catalogue, with this name as the File of its lines. A catalogue need not have it.
func lines(dir fs.FS, file, name string) ([]expected.Line, error) {
	text, err := fs.ReadFile(dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return scenario.ParseExpectations(name, text)
}

var nameForm = regexp.MustCompile(`^[a-z]+/[a-z0-9]+(-[a-z0-9]+)*$`)

// Validate parses the transcripts of a catalogue, compares them with each other, and returns the
// errors that it finds. If it finds no errors, it also validates the lists of expected failures that
// the catalogue contains.
func Validate(dir fs.FS) []error {
	list, wrong := load(dir)
	if len(list)+len(wrong) == 0 {
		return []error{errors.New("there is no peer/GROUP/ID.txt, kernel/GROUP/ID.txt or GROUP/ID.txt")}
	}
	ids, hashes := map[string]string{}, map[string]string{}
	for _, s := range list {
		find := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("%s: %s", s.Name, fmt.Sprintf(format, args...)))
		}
		_, id, _ := strings.Cut(s.Name, "/")
		if !nameForm.MatchString(s.Name) {
			find("the name is not GROUP/ID: small letters for GROUP; small letters, digits and dashes for ID")
		}
		if other := ids[id]; other != "" {
			find("%s has the same ID", other)
		}
		if other := hashes[s.Hash]; other != "" {
			find("%s has the same text", other)
		}
		ids[id], hashes[s.Hash] = s.Name, s.Name
		if !strings.HasSuffix(s.Rule[0], ".") {
			find("the rule is not a sentence that ends with a period: %s", s.Rule[0])
		}
		for _, st := range s.Steps {
			reasons := map[string]bool{}
			for _, w := range st.Alternatives {
				if w.Reason != "" && reasons[w.Reason] {
					find("line %d: two alternatives have the same reason: %s", st.Line, w.Text)
				}
				reasons[w.Reason] = true
			}
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	for _, file := range []string{ExpectedFile, GVisorFile} {
		failures, err := lines(dir, file, file)
		if err == nil {
			err = scenario.ValidateExpectations(failures, list)
		}
		if err == nil {
			err = expected.ValidateReasons(failures)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}
