// Package testrecord writes and reads records that the tests of a package leave for tools/runtests. They contain the
// specs of a Ginkgo suite, because go test reports only the test that runs them, and what a skipped test is missing.
package testrecord

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Variable is the environment variable that names the folder in which each test binary writes its own file.
const Variable = "SCM_RECORDS"

// A Kind says what a Record is about.
type Kind string

const (
	Begin Kind = "begin" // the suite begins: Planned, DryRun
	Spec  Kind = "spec"  // a spec ended; of two records with the same name, the later one counts
	Node  Kind = "node"  // a node of the suite, such as BeforeSuite, or the suite failed
	Lacks Kind = "lacks" // the test or spec Name is skipped, because Missing is missing
	Calls Kind = "calls" // the test Name has compared Count calls
	End   Kind = "end"   // the suite ended
)

// A Record is a line of a file.
type Record struct {
	Package string          `json:"package"`
	Kind    Kind            `json:"kind"`
	Planned int             `json:"planned,omitempty"` // specs that will run
	DryRun  bool            `json:"dry_run,omitempty"`
	Name    string          `json:"name,omitempty"`
	State   string          `json:"state,omitempty"` // as types.SpecState names it, such as "passed"
	Why     string          `json:"why,omitempty"`   // the message of a failure, or the reason of a skip
	Missing string          `json:"missing,omitempty"`
	Count   int             `json:"count,omitempty"`
	Labels  []string        `json:"labels,omitempty"`
	Seconds float64         `json:"seconds,omitempty"`
	Case    json.RawMessage `json:"case,omitempty"` // of a spec of the catalogue, its scenario.Result
}

// The outcomes of tests and specs.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// Outcome returns the outcome of a spec that ended in a state.
func Outcome(state string) string {
	switch state {
	case Passed, Skipped:
		return state
	case "pending":
		return Skipped
	}
	return Failed
}

// Counts is the numbers of tests that passed, failed and were skipped.
type Counts [3]int

// Add adds a test.
func (c *Counts) Add(outcome string) { c[slices.Index([]string{Passed, Failed, Skipped}, outcome)]++ }

func (c Counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c[0], c[1], c[2])
}

// Focus returns the flags with which go test runs a spec and prints what it does.
func Focus(name string) string { return " -ginkgo.v -ginkgo.focus='" + literal(name) + "'" }

// Pattern returns a pattern for -run that selects only this test, such as TestA/b. In a shell, it needs apostrophes
// around it.
func Pattern(test string) string { return "^" + strings.ReplaceAll(literal(test), "/", "$/^") + "$" }

// literal returns a pattern that matches the text. It has a dot for each apostrophe, which would end the shell's word.
func literal(text string) string { return strings.ReplaceAll(regexp.QuoteMeta(text), "'", ".") }

// The file is opened before any TestMain. The variable is then removed from the environment, so that a suite that a
// test starts does not write to the folder.
var (
	file, name, broken = open()
	mutex              sync.Mutex
)

func open() (*os.File, string, error) {
	folder := os.Getenv(Variable)
	info, ok := debug.ReadBuildInfo()
	if folder == "" || !ok || !strings.HasSuffix(info.Path, ".test") {
		return nil, "", nil
	}
	os.Unsetenv(Variable)
	// ginkgo -p starts several processes of a suite.
	f, err := os.OpenFile(filepath.Join(folder, fmt.Sprint(os.Getpid(), ".json")), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, "", fmt.Errorf("the results of the tests cannot be recorded: %w", err)
	}
	return f, strings.TrimSuffix(info.Path, ".test"), nil
}

// Write writes a record, if Variable was set when the process began. After an error, it writes nothing and returns the
// same error, because the file may end with an incomplete line.
func Write(r Record) error {
	mutex.Lock()
	defer mutex.Unlock()
	if file == nil || broken != nil {
		return broken
	}
	r.Package = name
	text, err := json.Marshal(r)
	if err == nil {
		_, err = file.Write(append(text, '\n'))
	}
	if err != nil {
		broken = fmt.Errorf("the results of the tests cannot be recorded: %w", err)
	}
	return broken
}

// Writes reports whether the process was asked to write records, even if it cannot.
func Writes() bool {
	mutex.Lock()
	defer mutex.Unlock()
	return file != nil || broken != nil
}

// Read returns the records in a file. If the last line is incomplete, Read returns the records before it, and an error.
func Read(r io.Reader) (all []Record, err error) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) == 0 {
			return all, nil
		}
		if err != nil {
			return all, fmt.Errorf("a record was cut off: %w", err)
		}
		var one Record
		if err := json.Unmarshal(line, &one); err != nil {
			return all, fmt.Errorf("a record: %w", err)
		}
		all = append(all, one)
	}
}

// ReadFolder returns the records of all files in a folder.
func ReadFolder(folder string) ([]Record, error) {
	var all []Record
	files, err := os.ReadDir(folder)
	for _, f := range files {
		text, unread := os.ReadFile(filepath.Join(folder, f.Name()))
		records, incomplete := Read(bytes.NewReader(text))
		all, err = append(all, records...), errors.Join(err, unread, incomplete)
	}
	return all, err
}
