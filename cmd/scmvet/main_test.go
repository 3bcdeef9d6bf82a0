package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("SCMVET_TEST") != "" {
		main()
	}
	os.Exit(m.Run())
}

// program writes a program that ignores the flags of a receive. It returns its folder, and the path of the command.
func program(t *testing.T) (dir, tool string) {
	t.Helper()
	dir = t.TempDir()
	tool, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod": "module example.com/program\n\ngo 1.24\n",
		"program.go": `package program

import "syscall"

func receive(sock int, oob []byte) ([]int, error) {
	_, n, _, _, err := syscall.Recvmsg(sock, nil, oob, 0)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return syscall.ParseUnixRights(&messages[0])
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, tool
}

func run(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SCMVET_TEST=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestVettool runs the command as a tool of go vet, and by itself.
func TestVettool(t *testing.T) {
	dir, tool := program(t)
	for _, args := range [][]string{{"go", "vet", "-vettool=" + tool, "."}, {tool, "."}} {
		out, err := run(t, dir, args...)
		if err == nil || !strings.Contains(out, "program.go:6:") || !strings.Contains(out, "goes unnoticed (scmflags)") {
			t.Errorf("%s: got %v, want a finding\n%s", args, err, out)
		}
	}
	if out, err := run(t, dir, "go", "vet", "-vettool="+filepath.Join(dir, "missing"), "."); err == nil {
		t.Errorf("got no error for a tool that does not exist\n%s", out)
	}
}

// TestTags sets a build tag. The command alone would ignore -tags, and check nothing.
func TestTags(t *testing.T) {
	dir, tool := program(t)
	name := filepath.Join(dir, "program.go")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append([]byte("//go:build foo\n\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"go", "vet", "-tags", "foo", "-vettool=" + tool, "."}, {"env", "GOFLAGS=-tags=foo", tool, "."}} {
		if out, err := run(t, dir, args...); err == nil || !strings.Contains(out, "(scmflags)") {
			t.Errorf("%s: got %v, want a finding\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{{tool, "-tags", "foo", "."}, {tool, "-c=1", "--tags=foo", "."}} {
		if out, err := run(t, dir, args...); err == nil || !strings.Contains(out, "set GOFLAGS=-tags=foo, or run go vet -tags=foo -vettool=") {
			t.Errorf("%s: got %v, want an error that says how to set tags\n%s", args, err, out)
		}
	}
}

// TestTool runs the commands in docs/vet.md that make the command a tool of a module.
func TestTool(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "vet.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(page), "\n    go mod edit ")
	commands, _, _ = strings.Cut("go mod edit "+commands, "\n\n")
	t.Setenv("SCM", root)
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOSUMDB", "off") // the checksums are in go.sum here
	dir, _ := program(t)
	out, err := run(t, dir, "sh", "-ec", commands)
	if err == nil || !strings.Contains(out, "program.go:6:") || !strings.Contains(out, "goes unnoticed (scmflags)") {
		t.Errorf("got %v, want a finding\n%s\n%s", err, commands, out)
	}
}

// TestFix shows why docs/vet.md says to run the command again after -fix: it does not report what is left.
func TestFix(t *testing.T) {
	dir, tool := program(t)
	if out, err := run(t, dir, tool, "-fix", "."); err != nil || strings.Contains(out, "scmflags") {
		t.Errorf("with -fix: got %v, want no findings\n%s", err, out)
	}
	out, err := run(t, dir, "go", "vet", "-vettool="+tool, ".") // which remembers the standard library from TestVettool
	if err == nil || !strings.Contains(out, "(scmflags)") || strings.Contains(out, "(scmcloexec)") {
		t.Errorf("after -fix: got %v, want only the finding of scmflags\n%s", err, out)
	}
}
