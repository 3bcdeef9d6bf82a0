package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
)

// Streamed is the extension of a report that is written while the run goes on.
const Streamed = ".jsonl"

// formats are the forms of a report, by the extension of the file.
var formats = map[string]func(*Report, io.Writer) error{
	".json":  (*Report).JSON,
	Streamed: (*Report).lines,
	".xml":   (*Report).JUnit,
	".md":    (*Report).Markdown,
	".html":  (*Report).HTML,
	".txt":   (*Report).Console,
}

// CheckFiles returns an error unless the reports of a run can have these names: the extension
// is of a form, and no two are one file.
func CheckFiles(files []string) error {
	for i, file := range files {
		if formats[filepath.Ext(file)] == nil {
			known := strings.Join(slices.Sorted(maps.Keys(formats)), " ")
			return fmt.Errorf("the name of a report ends in one of %s, and not as %q", known, file)
		}
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			return fmt.Errorf("the report %s is a folder", file)
		}
		for _, before := range files[:i] {
			if filepath.Clean(before) == filepath.Clean(file) {
				return fmt.Errorf("the reports %s and %s are one file", before, file)
			}
		}
	}
	return nil
}

// WriteFile writes the report to a file, in the form that its name asks for, whole or not at
// all. Only a file that is not regular, such as a FIFO, is written to in place.
func (r *Report) WriteFile(file string) error {
	form := formats[filepath.Ext(file)]
	if form == nil {
		return CheckFiles([]string{file})
	}
	var text bytes.Buffer
	if err := form(r, &text); err != nil {
		return err
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(file, text.Bytes(), 0o666)
	}
	return Replace(file, text.Bytes())
}

// Replace puts a file with this text in the place of file, with the mode of the one that is
// there. On an error, what is there stays.
func Replace(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	next := fmt.Sprintf("%s.%d.new", file, os.Getpid())
	err := os.WriteFile(next, text, 0o666)
	if old, e := os.Stat(file); err == nil && e == nil {
		err = os.Chmod(next, old.Mode().Perm())
	}
	if err == nil {
		err = os.Rename(next, file)
	}
	if err != nil {
		_ = os.Remove(next)
	}
	return err
}

// JSON writes the report for programs, as one object in ASCII.
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

// A Stream writes reports while the run goes on, a JSON object a line: a Report without cases,
// each case, and what is known at the end, without which the report is cut off.
type Stream struct {
	to  []io.Writer
	err error
}

// streamed is a line of a stream but the first.
type streamed struct {
	Case *scenario.Result `json:"case,omitempty"`
	End  *Report          `json:"end,omitempty"`
}

// Stream begins to write those of the files that have this form.
func (r *Report) Stream(files []string) (*Stream, error) {
	s := &Stream{}
	for _, file := range files {
		if filepath.Ext(file) != Streamed {
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
			return nil, errors.Join(err, s.shut())
		}
	}
	s.begin(r)
	return s, nil
}

func (s *Stream) begin(r *Report) {
	begin := r.head()
	begin.Seconds = 0 // 0 says that the run goes on
	s.line(begin)
}

// lines writes the report as a stream does.
func (r *Report) lines(w io.Writer) error {
	s := &Stream{to: []io.Writer{w}}
	s.begin(r)
	for _, c := range r.Cases {
		s.Case(c)
	}
	return s.Close(r)
}

// head is the report without its cases.
func (r *Report) head() *Report {
	head := *r
	head.Cases = []scenario.Result{}
	return &head
}

func (s *Stream) line(v any) {
	if len(s.to) == 0 {
		return
	}
	text, err := json.Marshal(v)
	s.err = cmp.Or(s.err, err)
	for i, w := range s.to {
		if _, err := w.Write(append(display.JSON(text), '\n')); err != nil {
			s.err = cmp.Or(s.err, err)
			s.to[i] = io.Discard // it is cut off there, and the others go on
		}
	}
}

// Case writes a case.
func (s *Stream) Case(c scenario.Result) { s.line(streamed{Case: &c}) }

// Close writes the end. The error is the first that there was.
func (s *Stream) Close(r *Report) error {
	s.line(streamed{End: r.head()})
	return cmp.Or(s.err, s.shut()) // which closes in any case
}

// shut closes the files.
func (s *Stream) shut() (err error) {
	for _, w := range s.to {
		if f, is := w.(*os.File); is {
			err = cmp.Or(err, f.Close())
		}
	}
	return err
}

// Read reads a report from its JSON file, whole or streamed.
func Read(file string) (*Report, error) {
	r, cut, err := ReadPart(file)
	if cut != nil {
		return nil, cut
	}
	return r, err
}

// ReadPart is Read, which also reads what there is of a stream that is cut off, as that of a
// run that was killed: cut says so.
func ReadPart(file string) (r *Report, cut, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	r = &Report{}
	if err = dec.Decode(r); err == nil && r.Schema != Schema {
		err = fmt.Errorf("schema %d, and this reads %d", r.Schema, Schema)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	whole := r.Seconds > 0
	for err == nil {
		var l streamed
		switch err = dec.Decode(&l); {
		case err != nil:
		case whole:
			err = errors.New("there is more behind its end")
		case l.Case != nil:
			r.Cases = append(r.Cases, *l.Case)
		case l.End != nil:
			l.End.Cases = r.Cases
			r, whole = l.End, true
		}
	}
	if !whole && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		cut, err = fmt.Errorf("%s: it is cut off: %w", file, err), io.EOF
	}
	for _, c := range r.Cases {
		if strings.Count(c.Name, "/") != 4 {
			err = fmt.Errorf("not the name of a case: %q", c.Name)
		}
	}
	if err != io.EOF {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, cut, nil
}
