package peers

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Python reads more as a number, and as hexadecimal, than the contract does.
func TestPythonIsStrict(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI=true, and %v", err)
		}
		t.Skip(err)
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
	peer := exec.Command(python, "python/send_fds.py")
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
