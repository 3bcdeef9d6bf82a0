package judge

import (
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/fact"
)

// Every peer supports the basic commands, on every socket type that it lists in can=.
func TestBasicCommands(t *testing.T) {
	for command, want := range map[string]bool{
		"send payload=00 fds=4":                true,
		"send payload=00 fds=9":                false, // it does not have 9
		"send payload=00 fds=4,4":              false,
		"send payload=- fds=4":                 false,
		"send payload=@4400 fds=4":             false,
		"send payload=00,00 fds=4":             false,
		"send payload=00 fds=4 flags=dontwait": false,
		"recv bytes=1 fds=1":                   true,
		"recv bytes=0 fds=1":                   false,
		"recv bytes=1,1 fds=1":                 false,
		"recv bytes=1 fds=2":                   false,
		"recv bytes=1 fds=1 flags=peek":        false,
	} {
		r, _ := run(t, setupOf(t, onA+"A> "+command+"\nA< err EIO\n", nil), "A< unsupported")
		if got := len(r.Found.Findings) > 0; got != want {
			t.Errorf("%s: basic: %t, want %t", command, got, want)
		}
	}
}

// The short text of a finding says how an answer differs from the first one that the scenario accepts.
func TestShort(t *testing.T) {
	const text = onA + "A> recv bytes=1 fds=1\nA< ok n=1 payload=00 fds=- flags=ctrunc\n | ok n=2 payload=00 fds=-  # it counts twice\n"
	for answer, want := range map[string]string{
		"ok n=1 payload=00 fds=-":              "a descriptor was lost, and the library did not report it",
		"ok n=3 payload=00 fds=- flags=ctrunc": "n is 3",
		"err EIO":                              `answered "err EIO", not ok`,
	} {
		r, _ := run(t, setupOf(t, text, nil), "A< "+answer)
		if got := r.Found.Findings; len(got) != 1 || got[0].Short != want || !strings.Contains(got[0].Text, "expected ok n=2") {
			t.Errorf("%s: got %+v, want %s", answer, got, want)
		}
	}
}

// The names of processes in an expected answer mean their IDs.
func TestFillInProcesses(t *testing.T) {
	owners := [2]fact.Owner{{PID: 7, UID: 8, GID: 9}, {PID: 17, Err: "no such process"}}
	for _, c := range []struct{ text, want string }{
		{"pid=A", "pid=7"},
		{"pid=B", "pid=17"},
		{"control=creds(A),rights(a)", "control=creds(7,8,9),rights(a)"},
		{"control=creds(B)", "no such process"},
	} {
		got, err := FillInProcesses(c.text, owners)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}
