package peers

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The parsers of Java and of scripting languages take more for a number, and for
// hexadecimal, than the contract does. A peer in another language than C, Rust and Go is
// tested here.
func TestPeersAreStrict(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	refused := []string{
		"use sock=+3", "use sock=03", "use sock= 3", "use sock=", "use sock=3 fds=-1", "use sock=3 fds=", "use sock=3 fds=4,", "use sock=3 fds=- fds=-", "use", "hello x", "end x=1",
		"close fds=+3", "close fds=0_3", "close fds=4", "close fds=",
		"recv bytes=+3 fds=1", "recv bytes=03 fds=1", "recv bytes=1_0 fds=1", "recv bytes=1e1 fds=1", "recv bytes=67108865 fds=1", "recv bytes=1 fds=65536", "recv bytes=1 fds=-1",
		"recv bytes=1 fds=1 at=+1", "recv bytes=1 fds=1 flags=", "recv bytes=1 fds=1 flags=sideways", "recv bytes=1", "recv bytes=1 fds=1 color=red",
		"send payload= fds=-", "send payload=0 fds=-", "send payload=AA fds=-", "send payload=0g fds=-", "send payload=@0 fds=-", "send payload=@67108865 fds=-", "send payload=@03 fds=-",
		"send payload=00 fds=+1", "send payload=00 fds=-2147483649", "send payload=00 fds=3,", "send payload=@3 fds=- at=-1", "send payload=00 fds=- flags=peek",
		"levitate height=3", "",
	}
	// What each says of a socket that is none.
	none := map[string]string{
		"jnr-posix":    "err ENOTSOCK",
		"php":          "err lib socket_import_stream(): Cannot represent a stream of type STDIO as a Socket Descriptor",
		"python":       "err ENOTSOCK",
		"perl-fdpass":  "unsupported",
		"perl-msghdr":  "err ENOTSOCK",
		"ruby-sendmsg": "err EBADF",
		"ruby-send-io": "err EBADF",
	}
	var names []string
	r := embedded()
	for _, s := range r.Peers {
		if !slices.Contains([]string{"c", "rust", "go"}, r.recipe(s.Build).Lang) {
			names = append(names, s.Name)
		}
	}
	var log bytes.Buffer
	for _, b := range Build(context.Background(), "../..", t.TempDir(), names, &log) {
		t.Run(b.Name, func(t *testing.T) {
			if b.Why != "" {
				if b.Broken || os.Getenv("CI") == "true" {
					t.Fatalf("%s\n%s", b.Why, log.String())
				}
				t.Skip(b.Why)
			}
			commands, answers := []string{"use sock=3"}, []string{"ok"}
			for _, c := range refused {
				commands, answers = append(commands, c), append(answers, "unsupported")
			}
			commands = append(commands, "send payload=00 fds=-", "close fds=3", "recv bytes=1 fds=1", "use sock=2", "end", "")
			answers = append(answers, none[b.Name], "ok", "unsupported", "ok", "ok", "")

			peer := exec.Command(b.Command[0], b.Command[1:]...)
			peer.Stdin = strings.NewReader(strings.Join(commands, "\n"))
			peer.ExtraFiles = []*os.File{null}
			var stderr bytes.Buffer
			peer.Stderr = &stderr
			out, err := peer.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			got := strings.Split(string(out), "\n")
			if len(got) != len(answers) {
				t.Fatalf("%d answers to %d commands", len(got)-1, len(commands)-1)
			}
			for i, want := range answers {
				if got[i] != want {
					t.Errorf("%q: answered %q, want %q", commands[i], got[i], want)
				}
			}
		})
	}
}
