package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Streamed is the extension of a report that is written while the run goes on.
const Streamed = ".jsonl"

// formats are the forms of a report, by the extension of the file.
var formats = map[string]func(*Report, io.Writer) error{
	".json": (*Report).JSON,
	".xml":  (*Report).JUnit,
	".md":   (*Report).Markdown,
	".html": (*Report).HTML,
	".txt":  (*Report).Console,
}

// CheckFile tells whether a report can have this name.
func CheckFile(file string) error {
	ext := filepath.Ext(file)
	if ext == Streamed || formats[ext] != nil {
		return nil
	}
	known := []string{Streamed}
	for ext := range formats {
		known = append(known, ext)
	}
	slices.Sort(known)
	return fmt.Errorf("the name of a report ends in one of %s, and not as %q", strings.Join(known, " "), file)
}

// WriteFile writes the report to a file, in the form that its name asks for, whole
// or not at all.
func (r *Report) WriteFile(file string) error {
	if err := CheckFile(file); err != nil {
		return err
	}
	if filepath.Ext(file) == Streamed {
		s, err := r.NewStream(file)
		if err != nil {
			return err
		}
		for _, c := range r.Cases {
			s.Case(c)
		}
		return s.Close(r)
	}
	var text bytes.Buffer
	if err := formats[filepath.Ext(file)](r, &text); err != nil {
		return err
	}
	// Others may write to the folder: a file that is there, or a link, is not opened.
	temp := fmt.Sprintf("%s.%d.new", file, os.Getpid())
	f, err := create(temp, os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// create makes a file, and the folder that it is in.
func create(file string, flag int) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC|flag, 0o666)
}
