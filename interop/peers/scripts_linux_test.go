package peers

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Python reads more as a number, and as hexadecimal, than the contract does.
func TestPythonIsStrict(t *testing.T) {
	testStrict(t, "python")
}

// testStrict asks a peer for what is not quite the contract's.
func testStrict(t *testing.T, name string) {
	var log bytes.Buffer
	built := Build(context.Background(), "../..", t.TempDir(), []string{name}, &log)[0]
	if built.Why != "" {
		if built.Broken || os.Getenv("CI") == "true" {
			t.Fatal(log.String())
		}
		t.Skip(built.Why)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	answers := []string{"ok"}
	commands := []string{"use sock=3"}
	for _, refused := range []string{
		"use sock=+3", "use sock=03", "use sock= 3", "use sock=3 fds=-1", "close fds=+3", "close fds=0_3",
		"recv bytes=+3 fds=1", "recv bytes=03 fds=1", "recv bytes=1_0 fds=1", "recv bytes=67108865 fds=1", "recv bytes=1 fds=65536", "recv bytes=1 fds=-1",
		"recv bytes=1 fds=1 at=+1", "recv bytes=1 fds=1 flags=",
		"send payload= fds=-", "send payload=0 fds=-", "send payload=AA fds=-", "send payload=@0 fds=-", "send payload=@67108865 fds=-",
		"send payload=00 fds=+1", "send payload=00 fds=-2147483649", "send payload=@3 fds=- at=-1",
	} {
		commands, answers = append(commands, refused), append(answers, "unsupported")
	}
	commands, answers = append(commands, "send payload=00 fds=-", "end", ""), append(answers, "err ENOTSOCK", "ok", "")
	peer := exec.Command(built.Command[0], built.Command[1:]...)
	peer.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	peer.ExtraFiles = []*os.File{null}
	var stderr bytes.Buffer
	peer.Stderr = &stderr
	out, err := peer.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	for i, got := range strings.Split(string(out), "\n") {
		if i >= len(answers) || got != answers[i] {
			t.Errorf("%q: answered %q", commands[min(i, len(commands)-1)], got)
		}
	}
}
