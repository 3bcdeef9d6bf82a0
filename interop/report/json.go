package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/scm-rights/scm/interop/scenario"

	"github.com/scm-rights/scm/interop/bounded"
	"github.com/scm-rights/scm/interop/display"
)

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

// A Stream is a report that is written while the run goes on, a JSON object a
// line: a Report without cases, each case, and what is known at the end, without
// which the report is cut off.
type Stream struct {
	file *os.File
	stop func() bool
	err  error
}

// streamed is a line of a stream but the first.
type streamed struct {
	Case *scenario.Result `json:"case,omitempty"`
	End  *Report          `json:"end,omitempty"`
}

// NewStream begins to write a report to a file. It waits for the reader of a FIFO until ctx
// is done; from then on one that does not read has a second.
func (r *Report) NewStream(ctx context.Context, file string) (*Stream, error) {
	var f *os.File
	var err error
	if isFIFO(file) {
		f, err = take(openFIFO(ctx, file))
	} else {
		f, err = take(create(file, bounded.NoFollow|bounded.Nonblock)) // others may write to the folder
	}
	if err != nil {
		return nil, err
	}
	s := &Stream{file: f, stop: endWith(ctx, f)}
	begin := r.head()
	begin.Seconds = 0 // 0 says that the run goes on
	s.line(begin)
	return s, nil
}

// head is the report without its cases.
func (r *Report) head() *Report {
	head := *r
	head.Cases = []scenario.Result{}
	return &head
}

func (s *Stream) line(v any) {
	if s.err != nil {
		return
	}
	text, err := json.Marshal(v)
	if err == nil {
		_, err = s.file.Write(append(display.JSON(text), '\n'))
	}
	s.err = err
}

// Case writes a case.
func (s *Stream) Case(c scenario.Result) { s.line(streamed{Case: &c}) }

// Close writes the end. The error is the first that there was.
func (s *Stream) Close(r *Report) error {
	s.line(streamed{End: r.head()})
	if s.stop != nil {
		s.stop()
	}
	return errors.Join(s.err, s.file.Close())
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
	text, err := bounded.ReadFile(file, bounded.Report)
	if err != nil {
		return nil, nil, err
	}
	r = &Report{}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(r); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, nil, fmt.Errorf("%s: schema %d, and this reads %d", file, r.Schema, Schema)
	}
	for whole := atEnd(dec, text) && r.Seconds > 0; !whole; {
		var l streamed
		if err := dec.Decode(&l); err != nil {
			cut = fmt.Errorf("%s: it is cut off: %w", file, err)
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				return nil, nil, cut
			}
			break
		}
		if l.Case != nil {
			r.Cases = append(r.Cases, *l.Case)
		}
		if l.End != nil {
			if l.End.Schema != Schema {
				return nil, nil, fmt.Errorf("%s: schema %d at its end, and this reads %d", file, l.End.Schema, Schema)
			}
			if !atEnd(dec, text) {
				return nil, nil, fmt.Errorf("%s: there is more behind its end", file)
			}
			l.End.Cases = r.Cases
			r, whole = l.End, true
		}
	}
	if err := r.check(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, cut, nil
}

// atEnd reports whether the decoder has read all of text, but for space. Its More is false also
// before a bracket that closes nothing.
func atEnd(dec *json.Decoder, text []byte) bool {
	return len(bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n")) == 0
}

// check returns what is wrong with the words of a report that somebody else wrote.
func (r *Report) check() error {
	if kind := r.System.Kind; kind != "" && !slices.Contains(scenario.KernelKinds, kind) {
		return fmt.Errorf("no such kernel: %q", kind)
	}
	seen := map[string]bool{}
	for _, p := range r.Peers {
		switch {
		case !display.IsName(p.Name):
			return fmt.Errorf("not the name of a peer: %q", p.Name)
		case seen[p.Name]:
			return fmt.Errorf("two peers are named %q", p.Name)
		case len(p.Command) == 0 && p.NotRun == "" && p.Name != scenario.RunnerName:
			return fmt.Errorf("the peer %q has neither a command nor not_run", p.Name)
		}
		seen[p.Name] = true
	}
	return scenario.CheckResults(r.Cases)
}
