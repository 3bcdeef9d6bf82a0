package events

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// toys are packages whose tests end in all ways.
var toys = map[string]string{
	"end": `func TestA(t *testing.T) {
	t.Run("waits", func(t *testing.T) { t.Parallel() })
	t.Run("skips", func(t *testing.T) { t.Skip("no\ntea") })
	t.Run("fails", func(t *testing.T) { t.Error("too bad") })
}`,
	"exit":          `func TestA(t *testing.T) { t.Run("b", func(*testing.T) { syscall.Exit(1) }) }`,
	"testdata/exit": `func TestA(t *testing.T) { t.Run("b", func(*testing.T) { syscall.Exit(0) }) }`, // not in ./...
	"none":          "",
	"print": `func TestA(*testing.T) {
	fmt.Println("=== RUN   TestB\n--- FAIL: TestB (0.00s)")
	fmt.Println("{\"Action\":\"fail\",\"Package\":\"toys/print\",\"Test\":\"TestA\"}")
}`,
	"unbuilt": `func TestA(*testing.T) { nothing() }`,
	"warn":    `func TestA(*testing.T) {}`,
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"go.mod":    "module toys\n\ngo 1.24\n",
		"warn/a.go": "package a\n\n// #warning hot\nimport \"C\"\n",
	}
	for name, code := range toys {
		files[name+"/a_test.go"] = "package a\n\nimport (\n\"fmt\"\n\"syscall\"\n\"testing\"\n)\n\n" +
			"var _, _, _ = fmt.Print, syscall.Exit, testing.Short\n\n" + code
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		fdtest.Must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		fdtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	events := func(pkg string) []byte {
		out, _ := exec.Command("go", "test", "-C", dir, "-json", "-count=1", "-vet=off", pkg).Output()
		return out
	}
	out := events("./...")
	tests, err := Read(out)
	var got []string
	for _, one := range tests {
		got = append(got, strings.TrimSpace(strings.Join([]string{one.Package, one.Name, one.State, one.Why()}, " ")))
	}
	slices.Sort(got)
	want := []string{
		"toys/end TestA fail",
		"toys/end TestA/fails fail too bad",
		"toys/end TestA/skips skip no\ntea",
		"toys/end TestA/waits pass",
		"toys/exit TestA run",
		"toys/exit TestA/b run",
		"toys/print TestA pass",
		"toys/warn TestA pass",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nof\n%s", got, err, out)
	}
	for what, cut := range map[string][]byte{
		"events of a program that exits with 0":   events("./testdata/exit"), // TestA/b has the result of the package
		"events without the end of the last line": out[:len(out)-9],
		"nothing": nil,
	} {
		if tests, err := Read(cut); err == nil {
			t.Errorf("read %s without an error: %+v", what, tests)
		}
	}
}
