package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/scm-rights/scm/interop/peers"
)

// A part contains the results of the part of the tests that one gotest command ran.
type part struct {
	Name                    string
	Passed, Failed, Skipped int
	Red                     []string // the names of the failed tests
	Note                    string   // printed instead of the counts
}

func (p *part) fail(name string) {
	p.Failed++
	p.Red = append(p.Red, name)
}

// outcome returns the note or the counts.
func (p *part) outcome() string { return cmp.Or(p.Note, p.counts()) }

func (p *part) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", p.Passed, p.Failed, p.Skipped)
}

// fileName returns the base name for the files of a part, whose name may be a path.
func fileName(name string) string { return strings.ReplaceAll(name, "/", "-") }

func logFile(dir, name string) string { return filepath.Join(dir, fileName(name)+".log") }

// write stores a part in the directory, unless that is "", and returns errFailed if a test of it failed.
func write(dir string, p *part) error {
	if dir != "" {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, fileName(p.Name)+".json"), append(text, '\n'), 0o666); err != nil {
			return err
		}
	}
	if p.Failed > 0 {
		return errFailed
	}
	return nil
}

// read returns the part stored in a file. If the file does not exist, read returns a part with one failure.
func read(file, name string) (*part, error) {
	p := &part{Name: name}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		p.Failed, p.Note = 1, "did not run to its end"
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// verdict prints the sum of the parts, the names of the failed tests, the files with their output, and the partners that
// could not be built. The last line is `N passed, N failed, N skipped`.
func verdict(w io.Writer, title, dir string, least int, partners string, names []string) error {
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(dir, fileName(name)+".json"))
	}
	if len(names) == 0 {
		var err error
		if files, err = filepath.Glob(filepath.Join(dir, "*.json")); err != nil {
			return err
		}
		names = make([]string, len(files)) // each file contains its part's name
	}
	total := &part{}
	var red, logs []string
	fmt.Fprintf(w, "\n%s:\n", title)
	for i, file := range files {
		p, err := read(file, names[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %-30s %s\n", p.Name, p.outcome())
		total.Passed += p.Passed
		total.Failed += p.Failed
		total.Skipped += p.Skipped
		for _, name := range p.Red {
			red = append(red, p.Name+": "+name)
		}
		if log := logFile(dir, p.Name); p.Failed > 0 {
			if _, err := os.Stat(log); err == nil {
				logs = append(logs, log)
			}
		}
	}
	if len(red) > 0 {
		fmt.Fprintf(w, "failed:\n  %s\n", strings.Join(red, "\n  "))
	}
	if len(logs) > 0 {
		fmt.Fprintf(w, "output: %s\n", strings.Join(logs, " "))
	}
	if list, err := peers.ReadList(partners); partners != "" && err == nil {
		for _, line := range peers.NotBuilt(list) {
			fmt.Fprintf(w, "not played: %s\n", line)
		}
	}
	total.Failed = max(total.Failed, least)
	if total.Passed == 0 && total.Failed == 0 {
		total.fail("nothing ran")
		fmt.Fprintln(w, "nothing ran")
	}
	fmt.Fprintln(w, total.counts())
	if total.Failed > 0 {
		return errFailed
	}
	return nil
}
