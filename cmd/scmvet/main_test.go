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

// TestVettool runs the command as a tool of go vet, and by itself, on a program that ignores the flags of a receive.
func TestVettool(t *testing.T) {
	dir := t.TempDir()
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
	for _, args := range [][]string{{"go", "vet", "-vettool=" + tool, "."}, {tool, "."}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SCMVET_TEST=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "program.go:6:") || !strings.Contains(string(out), "goes unnoticed (scmflags)") {
			t.Errorf("%s: got %v, want a finding\n%s", args, err, out)
		}
	}
}
