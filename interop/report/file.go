package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/expected"
	"github.com/scm-rights/scm/interop/scenario"
)

// StreamExt is the extension of a report that is written during the run.
const StreamExt = ".jsonl"

// Writers contains the function that writes each format of a report, by the extension of the file.
type Writers[R any] map[string]func(R, io.Writer) error

// Formats are the formats of the report of a run.
var Formats = Writers[*Report]{
	".json":   (*Report).JSON,
	StreamExt: (*Report).writeStream,
	".xml":    (*Report).JUnit,
	".html":   (*Report).HTML,
	".txt":    (*Report).Console,
}

// Validate checks the file names of reports. It returns an error if a file has an unknown extension,
// if a file is a directory, or if two names refer to the same file.
func (w Writers[R]) Validate(files []string) error {
	for i, file := range files {
		if w[filepath.Ext(file)] == nil {
			known := strings.Join(slices.Sorted(maps.Keys(w)), " ")
			return fmt.Errorf("report %q: the file name must end in one of %s", file, known)
		}
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			return fmt.Errorf("report %q: is a directory", file)
		}
		for _, before := range files[:i] {
			if filepath.Clean(before) == filepath.Clean(file) {
				return fmt.Errorf("reports %q and %q are the same file", before, file)
			}
		}
	}
	return nil
}

// WriteFile writes a report to a file, in the format that the extension selects, as ReplaceFile does.
func (w Writers[R]) WriteFile(file string, r R) error {
	write := w[filepath.Ext(file)]
	if write == nil {
		return w.Validate([]string{file})
	}
	var text bytes.Buffer
	if err := write(r, &text); err != nil {
		return err
	}
	return ReplaceFile(file, text.Bytes())
}

// ReplaceFile replaces the content of a file, or creates the file and its directory. It follows
// symbolic links. The file keeps its mode, its owner and its other names.
//
// A regular file is replaced atomically, so that it is unchanged if ReplaceFile returns an error.
// ReplaceFile writes directly to other files, and to a file that would get a different owner or
// lose its other names.
func ReplaceFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(file)
	if _, lstatErr := os.Lstat(file); err != nil && lstatErr == nil {
		return os.WriteFile(file, text, 0o666) // creates the file to which a link refers
	}
	if err != nil {
		target = file // a new file
	}
	old, err := os.Stat(target) // nil for a new file
	if err == nil && !old.Mode().IsRegular() {
		return os.WriteFile(file, text, 0o666)
	}
	if err == nil {
		f, err := os.OpenFile(file, os.O_WRONLY, 0) // fails if the file is read-only
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	if err := renameNew(target, text, old); err != nil {
		return &fs.PathError{Op: "write", Path: file, Err: cmp.Or(errors.Unwrap(err), err)}
	}
	return nil
}

// renameNew writes a new file and renames it to replace the old one. It writes to the old file
// instead if that has to stay. If there is no old file, old is nil.
func renameNew(file string, text []byte, old fs.FileInfo) error {
	temp := fmt.Sprintf("%s.%d.new", file, os.Getpid())
	defer os.Remove(temp) // fails after the rename
	if err := os.WriteFile(temp, text, 0o666); err != nil {
		return err
	}
	if old == nil {
		return os.Rename(temp, file)
	}
	created, err := os.Stat(temp)
	if err != nil {
		return err
	}
	if mustStay(old, created) {
		return os.WriteFile(file, text, 0o666)
	}
	if err := os.Chmod(temp, old.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// JSON writes the report as a single JSON object in ASCII.
func (r *Report) JSON(w io.Writer) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(r); err != nil {
		return err
	}
	_, err := w.Write(display.JSON(text.Bytes()))
	return err
}

// A Stream writes reports during the run, as one JSON object per line. The first line is a Report
// without cases. It is followed by a line for each case. The last line is the Report again, with the
// totals. If the last line is missing, the report is incomplete.
type Stream struct {
	to  []io.Writer
	err error // the first error
}

// A streamLine is any line of a stream except the first.
type streamLine struct {
	Case *scenario.Result `json:"case,omitempty"`
	End  *Report          `json:"end,omitempty"`
}

// Stream creates each file that has the extension StreamExt and writes its first line. It ignores
// the other files.
func (r *Report) Stream(files []string) (*Stream, error) {
	s := &Stream{}
	for _, file := range files {
		if filepath.Ext(file) != StreamExt {
			continue
		}
		err := os.MkdirAll(filepath.Dir(file), 0o777)
		if err == nil {
			var f *os.File
			if f, err = os.Create(file); err == nil {
				s.to = append(s.to, f)
			}
		}
		if err != nil {
			return nil, errors.Join(err, s.closeFiles())
		}
	}
	s.begin(r)
	return s, nil
}

// begin writes the first line.
func (s *Stream) begin(r *Report) {
	first := r.withoutCases()
	first.Seconds = 0 // 0 means that the run has not ended
	s.writeLine(first)
}

// writeStream writes the report in the format of a Stream.
func (r *Report) writeStream(w io.Writer) error {
	s := &Stream{to: []io.Writer{w}}
	s.begin(r)
	for _, c := range r.Cases {
		s.Case(c)
	}
	return s.Close(r)
}

// withoutCases returns a copy of the report that has no cases.
func (r *Report) withoutCases() *Report {
	without := *r
	without.Cases = []scenario.Result{}
	return &without
}

// writeLine writes a value to each file. After an error, it does not write to that file again.
func (s *Stream) writeLine(v any) {
	if len(s.to) == 0 {
		return
	}
	text, err := json.Marshal(v)
	s.err = cmp.Or(s.err, err)
	for i, w := range s.to {
		if _, err := w.Write(append(display.JSON(text), '\n')); err != nil {
			s.err = cmp.Or(s.err, err)
			s.to[i] = io.Discard
		}
	}
}

// Case writes the line of a case.
func (s *Stream) Case(c scenario.Result) { s.writeLine(streamLine{Case: &c}) }

// Close writes the last line and closes the files. It returns the first error that occurred while
// the stream was written or closed.
func (s *Stream) Close(r *Report) error {
	s.writeLine(streamLine{End: r.withoutCases()})
	closeErr := s.closeFiles()
	return cmp.Or(s.err, closeErr)
}

// closeFiles closes the files, and returns the first error.
func (s *Stream) closeFiles() (err error) {
	for _, w := range s.to {
		if f, ok := w.(*os.File); ok {
			closeErr := f.Close()
			err = cmp.Or(err, closeErr)
		}
	}
	return err
}

// Read reads a report from a .json or .jsonl file. It returns an error if the report is incomplete, or if the run ended
// before its first case.
func Read(file string) (*Report, error) {
	r, incomplete, err := ReadPartial(file)
	switch {
	case incomplete != nil:
		return nil, incomplete
	case err == nil && r.Error != "":
		return nil, fmt.Errorf("%s: the run ended before its first case: %s", file, r.Error)
	}
	return r, err
}

// ReadPartial is like Read, but also accepts a stream that ends early, for example because the run
// was killed. It then returns the cases that the stream contains and sets incomplete to an error.
func ReadPartial(file string) (r *Report, incomplete, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	r = &Report{}
	err = dec.Decode(r)
	if errors.As(err, new(*json.SyntaxError)) || errors.As(err, new(*json.UnmarshalTypeError)) {
		err = fmt.Errorf("not a JSON report: %w", err)
	}
	if err == nil && r.Schema != Schema {
		err = fmt.Errorf("the report has schema %d, but this version of scm reads schema %d", r.Schema, Schema)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	complete := r.Seconds > 0
	for err == nil {
		var l streamLine
		switch err = dec.Decode(&l); {
		case err != nil:
		case complete:
			err = errors.New("unexpected data after the end of the report")
		case l.Case != nil:
			r.Cases = append(r.Cases, *l.Case)
		case l.End != nil:
			l.End.Cases = r.Cases
			r, complete = l.End, true
		}
	}
	if !complete && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		incomplete = fmt.Errorf("%s: the report is incomplete: %w", file, err)
		err = io.EOF
	}
	if err == io.EOF {
		err = cmp.Or(r.validateNames(), err)
	}
	if err != io.EOF {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, incomplete, nil
}

// validateNames returns an error if a name in the report is not one that a run can have written. A
// report may be from an untrusted source, and commands use the names in patterns and in output.
func (r *Report) validateNames() error {
	if kind := r.System.Kind; kind != "" && !slices.Contains(expected.Kinds, kind) {
		return fmt.Errorf("invalid kind of kernel %+q", kind)
	}
	peers := slices.Clone(r.Given)
	for _, p := range r.Peers {
		peers = append(peers, p.Name)
	}
	for _, c := range r.Cases {
		parts := strings.Split(c.Name, "/")
		if len(parts) != 5 || !areNames(parts) {
			return fmt.Errorf("invalid case name %+q", c.Name)
		}
		peers = append(peers, c.CloexecChecked...)
		if c.AskedNoMore != "" {
			peers = append(peers, c.AskedNoMore)
		}
		for _, f := range c.Findings {
			if !slices.Contains(scenario.Checks, f.Check) {
				return fmt.Errorf("%s: invalid check %+q", c.Name, f.Check)
			}
			peers = append(peers, f.Peer)
		}
	}
	for _, name := range peers {
		if !display.IsName(name) {
			return fmt.Errorf("invalid peer name %+q", name)
		}
	}
	return nil
}

func areNames(list []string) bool {
	return !slices.ContainsFunc(list, func(word string) bool { return !display.IsName(word) })
}
