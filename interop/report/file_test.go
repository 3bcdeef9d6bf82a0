package report

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/scenario"
)

// asRead returns the report of small as Read returns it. Reports in files do not contain the scenarios.
func asRead(t *testing.T) *Report {
	t.Helper()
	r := small(t)
	for i := range r.Cases {
		r.Cases[i].Case = scenario.Case{}
	}
	return r
}

// WriteFile replaces an old report and keeps its mode. Read returns the same report.
func TestWriteFile(t *testing.T) {
	r := asRead(t)
	for ext := range Formats {
		file := filepath.Join(t.TempDir(), "new", "report"+ext)
		for range 2 {
			if err := Formats.WriteFile(file, r); err != nil {
				t.Fatalf("%s: %v", ext, err)
			}
			fdtest.Must(t, os.Chmod(file, 0o600))
			if got, err := Read(file); strings.HasPrefix(ext, ".json") && (err != nil || !reflect.DeepEqual(got, r)) {
				t.Errorf("%s: %v, got\n%+v\nwant\n%+v", ext, err, got, r)
			}
		}
		if err := Formats.WriteFile(file, r); err != nil {
			t.Fatalf("%s, over an old report: %v", ext, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s: the new file has the mode %v, %v; want 0600 as before", ext, info.Mode(), err)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Errorf("%s: other files are left: %v, %v", ext, left, err)
		}
		folder := filepath.Join(t.TempDir(), "folder"+ext)
		fdtest.Must(t, os.Mkdir(folder, 0o777))
		for _, file := range []string{folder, filepath.Join(file, "report"+ext), "report", "report.pdf"} {
			if err := Formats.WriteFile(file, r); err == nil {
				t.Errorf("%s is written", file)
			}
		}
	}
}

// Read reports an error if the run was killed. ReadPartial returns the cases up to there.
func TestReadIncomplete(t *testing.T) {
	r := asRead(t)
	file := filepath.Join(t.TempDir(), "report"+StreamExt)
	s, err := r.Stream([]string{file})
	fdtest.Must(t, err)
	for n := range len(r.Cases) + 1 {
		text, err := os.ReadFile(file)
		fdtest.Must(t, err)
		for _, end := range []string{"", `{"case":{"na`} {
			torn := file + ".torn"
			fdtest.Must(t, os.WriteFile(torn, append(text, end...), 0o666))
			if _, err := Read(torn); err == nil || !strings.Contains(err.Error(), "incomplete") {
				t.Errorf("after %d cases%s: %v", n, end, err)
			}
			part, incomplete, err := ReadPartial(torn)
			if err != nil || incomplete == nil || n > 0 && !reflect.DeepEqual(part.Cases, r.Cases[:n]) || len(part.Peers) != len(r.Peers) {
				t.Fatalf("after %d cases%s: %+v, %v, %v", n, end, part, incomplete, err)
			}
		}
		if n < len(r.Cases) {
			s.Case(r.Cases[n])
		}
	}
	fdtest.Must(t, s.Close(r))
	if got, err := Read(file); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%v, got\n%+v\nwant\n%+v", err, got, r)
	}
}

// If the device of one report is full, the other reports are still written.
func TestStreamToFullDevice(t *testing.T) {
	r := asRead(t)
	var whole, want bytes.Buffer
	s := &Stream{to: []io.Writer{&full{1000}, &whole}}
	s.begin(r)
	for _, c := range r.Cases {
		s.Case(c)
	}
	if err := s.Close(r); !errors.Is(err, errFull) {
		t.Errorf("on a full device: got %v, want %v", err, errFull)
	}
	if err := r.writeStream(&want); err != nil || whole.String() != want.String() {
		t.Errorf("%v, got\n%s", err, &whole)
	}
}

// oneFinding is the text of a report with a valid finding.
const oneFinding = `{"schema": 2, "seconds": 1, "cases": [{"name": "a/b/stream/x/y", "cloexec_checked": [], "findings": [{"check": "leak", "peer": "x"}]}]}`

func TestReadInvalid(t *testing.T) {
	var whole bytes.Buffer
	fdtest.Must(t, small(t).writeStream(&whole))
	for text, want := range map[string]string{
		"":                               "EOF",
		"[]":                             "report.json: not a JSON report: json: cannot unmarshal",
		"<html>":                         "report.json: not a JSON report: invalid character '<'",
		`{"schema": 1}`:                  "the report has schema 1, but this version of scm reads schema 2",
		`{"schema": 2} hello`:            "invalid character",
		`{"schema": 2, "seconds": 1} {}`: "unexpected data after the end",
		whole.String() + whole.String():  "unexpected data after the end",
		whole.String() + "x":             "invalid character",
		`{"schema": 2, "seconds": 1, "cases": [{"name": "a/b"}]}`:                          `report.json: invalid case name "a/b"`,
		`{"schema": 2, "seconds": 1, "cases": [{"name": "a/b/stream/x/!y"}]}`:              `report.json: invalid case name "a/b/stream/x/!y"`,
		`{"schema": 2, "seconds": 1, "cases": [{"name": "a/b/*/x/y"}]}`:                    `invalid case name "a/b/*/x/y"`,
		`{"schema": 2, "seconds": 1, "peers": [{"name": "{m"}]}`:                           `report.json: invalid peer name "{m"`,
		`{"schema": 2, "seconds": 1, "system": {"kind": "linux]\n** leak@y x"}}`:           `invalid kind of kernel "linux]\n** leak@y x"`,
		`{"schema": 2, "seconds": 1, "peers": [{"name": ""}]}`:                             `invalid peer name ""`,
		`{"schema": 2, "seconds": 1, "peers": [{"name": "m\n::error::\u00e9"}]}`:           `invalid peer name "m\n::error::\u00e9"`,
		strings.Replace(oneFinding, `"peer": "x"`, `"peer": "x answer@y quiet"`, 1):        `invalid peer name "x answer@y quiet"`,
		strings.Replace(oneFinding, `"leak"`, `"le\nak"`, 1):                               `a/b/stream/x/y: invalid check "le\nak"`,
		strings.Replace(oneFinding, `"cloexec_checked": [`, `"cloexec_checked": ["!x"`, 1): `invalid peer name "!x"`,
	} {
		file := filepath.Join(t.TempDir(), "report.json")
		fdtest.Must(t, os.WriteFile(file, []byte(text), 0o666))
		if _, incomplete, err := ReadPartial(file); err == nil || incomplete != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v, want %s", text, incomplete, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, files := range map[string][]string{
		"":                  {"x.json", "x.jsonl", "folder/x.json"},
		"are the same file": {"x.json", "y.xml", "./folder/../x.json"},
		"must end in one of .html .json .jsonl .txt .xml": {"x.json", "x.pdf"},
	} {
		if err := Formats.Validate(files); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", files, err, want)
		}
	}
}
