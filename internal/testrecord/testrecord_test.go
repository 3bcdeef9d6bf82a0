package testrecord

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// againVariable is set in the process that TestWrite starts. The one that go test starts may have records of its own.
const againVariable = "SCM_TEST_AGAIN"

// A process writes to a file of its own, and the processes that it starts write no records.
func TestWrite(t *testing.T) {
	written := Record{Kind: Spec, Name: "a\nb", State: "passed", Labels: []string{"x"}, Seconds: 0.5}
	if os.Getenv(againVariable) != "" {
		if err := Write(written); err != nil || os.Getenv(Variable) != "" {
			t.Errorf("got %v, and %s is %q", err, Variable, os.Getenv(Variable))
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.Command(self, "-test.run=^TestWrite$")
	cmd.Env = append(os.Environ(), Variable+"="+folder, againVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	written.Package = "github.com/scm-rights/scm/internal/testrecord"
	if all, err := ReadFolder(folder); err != nil || !reflect.DeepEqual(all, []Record{written}) {
		t.Errorf("got %+v, %v, want %+v", all, err, written)
	}
}

// In a shell, Pattern selects one test, whatever its name.
func TestPattern(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(runtime.GOOS+":", err)
	}
	for _, name := range []string{"Bob's library", "$(a) [b]|c.d/\\", "d"} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(againVariable) != "" {
				return
			}
			cmd := exec.Command("sh", "-c", os.Args[0]+" -test.v -test.run '"+Pattern(t.Name())+"'")
			cmd.Env = append(os.Environ(), againVariable+"=1")
			out, err := cmd.CombinedOutput()
			ran, passed := strings.Count(string(out), "=== RUN "), strings.Contains(string(out), "PASS: "+t.Name()+" ")
			if err != nil || ran != 2 || !passed {
				t.Errorf("%v, and %s did not run alone:\n%s", err, t.Name(), out)
			}
		})
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
