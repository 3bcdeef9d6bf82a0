package judge

import (
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

// The names of processes in an expected answer stand for their IDs.
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
