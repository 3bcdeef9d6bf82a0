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

	"github.com/scm-rights/scm/interop/scenario"
)

// plain is a report as it is read again: what is not in the file is the case itself.
func plain(t *testing.T) *Report {
	t.Helper()
	r := small(t)
	for i := range r.Cases {
		r.Cases[i].Case = scenario.Case{}
	}
	return r
}

// A report takes the place of an old one, keeps its mode, and is read as it was.
func TestWriteFile(t *testing.T) {
	r := plain(t)
	for ext := range formats {
		file := filepath.Join(t.TempDir(), "new", "report"+ext)
		for range 2 {
			if err := r.WriteFile(file); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := Read(file); strings.HasPrefix(ext, ".json") && (err != nil || !reflect.DeepEqual(got, r)) {
				t.Errorf("%s: %v, got\n%+v\nwant\n%+v", ext, err, got, r)
			}
		}
		if err := r.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s: %v, %v", ext, info.Mode(), err)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Errorf("%s: left is %v, %v", ext, left, err)
		}
		folder := filepath.Join(t.TempDir(), "folder"+ext)
		if err := os.Mkdir(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{folder, filepath.Join(file, "report"+ext), "report", "report.pdf"} {
			if err := r.WriteFile(file); err == nil {
				t.Errorf("%s is written", file)
			}
		}
	}
}

// A report of a run that was killed is not taken for a whole one.
func TestReadWhatIsCutOff(t *testing.T) {
	r := plain(t)
	file := filepath.Join(t.TempDir(), "report"+Streamed)
	s, err := r.Stream([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(r.Cases) + 1 {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"", `{"case":{"na`} {
			torn := file + ".torn"
			if err := os.WriteFile(torn, append(text, end...), 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(torn); err == nil || !strings.Contains(err.Error(), "cut off") {
				t.Errorf("after %d cases%s: %v", n, end, err)
			}
			part, cut, err := ReadPart(torn)
			if err != nil || cut == nil || n > 0 && !reflect.DeepEqual(part.Cases, r.Cases[:n]) || len(part.Peers) != len(r.Peers) {
				t.Fatalf("after %d cases%s: %+v, %v, %v", n, end, part, cut, err)
			}
		}
		if n < len(r.Cases) {
			s.Case(r.Cases[n])
		}
	}
	if err := s.Close(r); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(file); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%v, got\n%+v\nwant\n%+v", err, got, r)
	}
}

// A device that is full costs no other report.
func TestStreamsOfAFullDevice(t *testing.T) {
	r := plain(t)
	var whole, want bytes.Buffer
	s := &Stream{to: []io.Writer{&full{1000}, &whole}}
	s.begin(r)
	for _, c := range r.Cases {
		s.Case(c)
	}
	if err := s.Close(r); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	if err := r.lines(&want); err != nil || whole.String() != want.String() {
		t.Errorf("%v, got\n%s", err, &whole)
	}
}

func TestReadWhatIsNone(t *testing.T) {
	var whole bytes.Buffer
	if err := small(t).lines(&whole); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                               "EOF",
		"[]":                             "cannot unmarshal",
		`{"schema": 1}`:                  "schema 1, and this reads 2",
		`{"schema": 2} hello`:            "invalid character",
		`{"schema": 2, "seconds": 1} {}`: "more behind its end",
		whole.String() + whole.String():  "more behind its end",
		whole.String() + "x":             "invalid character",
		`{"schema": 2, "seconds": 1, "cases": [{"name": "a/b"}]}`: `not the name of a case: "a/b"`,
	} {
		file := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, cut, err := ReadPart(file); err == nil || cut != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v, want %s", text, cut, err, want)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	for want, files := range map[string][]string{
		"":             {"x.json", "x.jsonl", "folder/x.json"},
		"are one file": {"x.json", "y.md", "./folder/../x.json"},
		"ends in one of .html .json .jsonl .md .txt .xml": {"x.json", "x.pdf"},
	} {
		if err := CheckFiles(files); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", files, err)
		}
	}
}
