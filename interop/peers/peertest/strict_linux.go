// Package peertest tests peers in the tests of other packages.
package peertest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/contract"
)

// malformed are malformed and unknown commands. The parsers for integers and hexadecimal digits in Java and
// in scripting languages accept more than the contract does.
var malformed = []string{
	"use sock=+3", "use sock=03", "use sock= 3", "use sock=", "use sock=99999999999", "use sock=3 fds=-1", "use sock=3 fds=", "use sock=3 fds=4,", "use sock=3 fds=- fds=-",
	"use sock=3 at=0", "use  sock=3", "use", "hello x", "hello ", " hello", "hello at=0", "end x=1", "end at=0",
	"close fds=+3", "close fds=0_3", "close fds=4", "close fds=3,4", "close fds=", "close fds=99999999999", "close fds=3 at=0",
	"recv bytes=+3 fds=1", "recv bytes=03 fds=1", "recv bytes=1_0 fds=1", "recv bytes=1e1 fds=1", "recv bytes=67108865 fds=1", "recv bytes=1 fds=65536", "recv bytes=1 fds=-1",
	"recv bytes=99999999999 fds=1", "recv bytes=1 fds=1 at=+1", "recv bytes=1 fds=1 flags=", "recv bytes=1 fds=1 flags=sideways", "recv bytes=1", "recv bytes=1 fds=1 color=red",
	"recv bytes=1 fds=1 payload=00", "recv bytes=1=2 fds=1",
	"send payload= fds=-", "send payload=0 fds=-", "send payload=AA fds=-", "send payload=0g fds=-", "send payload=-00 fds=-", "send payload=00=00 fds=-", "send payload=00 fds=- bytes=1",
	"send payload=@0 fds=-", "send payload=@67108865 fds=-", "send payload=@03 fds=-", "send payload=@-5 fds=-", "send payload=@- fds=-", "send payload=@99999999999 fds=-",
	"send payload=00 fds=+1", "send payload=00 fds=-0", "send payload=00 fds=03", "send payload=00 fds=-2147483649", "send payload=00 fds=3,", "send payload=@3 fds=- at=-1",
	"send payload=00 fds=- flags=peek", "levitate height=3", "",
}

// Strict tests that a peer answers unsupported to malformed commands. Its descriptor 3 is /dev/null.
// notSocket is its answer to a send on a descriptor that is not a socket.
func Strict(t *testing.T, peer *exec.Cmd, notSocket string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	commands := []string{"send payload=00 fds=-", "recv bytes=1 fds=1", "close fds=3", "end", "use sock=3"}
	answers := []string{"unsupported", "unsupported", "unsupported", "ok", "ok"}
	for _, c := range malformed {
		commands, answers = append(commands, c), append(answers, "unsupported")
	}
	commands = append(commands, "send payload=00 fds=-", "close fds=3,3", "recv bytes=1 fds=1", "use sock=2", "end", "")
	answers = append(answers, notSocket, "ok", "unsupported", "ok", "ok", "")

	peer.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	peer.ExtraFiles = []*os.File{null}
	var stderr bytes.Buffer
	peer.Stderr = &stderr
	out, err := peer.Output()
	if err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	got := strings.Split(string(out), "\n")
	if len(got) != len(answers) {
		t.Errorf("%d answers to %d commands", len(got)-1, len(commands)-1)
	}
	for i := range min(len(got), len(answers)) {
		if contract.NameErrno(got[i]) != answers[i] {
			t.Errorf("%q: answered %q, want %q", commands[i], got[i], answers[i])
		}
	}
}
