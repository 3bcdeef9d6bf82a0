package testrecord

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// againVariable is set in the process that again starts. The process that go test starts may have records of its own.
const againVariable = "SCM_TEST_AGAIN"

// again runs a test of this file in another process, with a folder of records.
func again(t *testing.T, name, folder string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), Variable+"="+folder, againVariable+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A process writes to a file of its own, and the processes that it starts write no records.
func TestWrite(t *testing.T) {
	written := Record{Kind: Spec, Name: "a\nb", State: "passed", Labels: []string{"x"}, Seconds: 0.5}
	if os.Getenv(againVariable) != "" {
		if err := Write(written); err != nil || os.Getenv(Variable) != "" {
			t.Errorf("got %v, and %s is %q", err, Variable, os.Getenv(Variable))
		}
		return
	}
	folder := t.TempDir()
	if out, err := again(t, "TestWrite", folder); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	written.Package = "github.com/scm-rights/scm/internal/testrecord"
	if all, err := ReadFolder(folder); err != nil || !reflect.DeepEqual(all, []Record{written}) {
		t.Errorf("got %+v, %v, want %+v", all, err, written)
	}
}

// If the file cannot be created, each record is an error.
func TestWriteFails(t *testing.T) {
	if os.Getenv(againVariable) != "" {
		for range 2 {
			if err := Write(Record{Kind: End}); err != nil {
				t.Error(err)
			}
		}
		return
	}
	out, err := again(t, "TestWriteFails", filepath.Join(t.TempDir(), "none"))
	if n := strings.Count(out, "the results of the tests cannot be recorded: open "); err == nil || n != 2 {
		t.Errorf("%d errors, and it ended with %v\n%s", n, err, out)
	}
}

func TestNothingFollowsHalfARecord(t *testing.T) {
	own, problem := file, broken
	t.Cleanup(func() { file, broken = own, problem })
	f, err := os.Create(filepath.Join(t.TempDir(), "records"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	file, broken = f, nil
	first := Write(Record{Kind: Begin})
	if file, err = os.Create(f.Name()); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if second := Write(Record{Kind: End}); first == nil || second != first {
		t.Errorf("got %v and then %v", first, second)
	}
	if text, err := os.ReadFile(f.Name()); err != nil || len(text) > 0 {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "",
		"{\"kind\":\"end\"}\n":              "",
		"{\"kind\":\"end\"}\n{\"kind\":\"e": "a record was cut off: EOF",
		"{\"kind\":\"end\"}\nend\n":         "a record: invalid character 'e' looking for beginning of value",
	} {
		all, err := Read(strings.NewReader(text))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || len(all) != min(1, len(text)) {
			t.Errorf("%q: got %v, %q, want the error %q", text, all, got, want)
		}
	}
}
