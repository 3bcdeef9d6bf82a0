//go:build unix

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestPass(t *testing.T) {
	dir := t.TempDir()
	fdtest.Must(t, os.WriteFile(dir+"/file", []byte("the contents of a file"), 0o600))
	server := program.Command("file")
	server.Dir = dir
	sender := program.Start(t, server)
	fdtest.Eventually(t, "the server listens", func() bool { return sender.Stdout() == "listening\n" })
	client := program.Command()
	client.Dir = dir
	program.Start(t, client).Prints(t, "the contents of a file")
	sender.Prints(t, "listening\n")
}

// README.md shows the whole program.
func TestREADME(t *testing.T) {
	page, source := program.Must(os.ReadFile("../../README.md")), program.Must(os.ReadFile("main.go"))
	if !strings.Contains(string(page), "\n```go\n"+string(source)+"```\n") {
		t.Errorf("README.md does not have\n%s", source)
	}
}
