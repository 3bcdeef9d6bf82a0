package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

func TestTraceLines(t *testing.T) {
	traceable(t)
	null := `<character device /dev/null, read>`
	socket := `<unix seqpacket socket:\[\d+\]>`
	want := regexp.MustCompile(`^\d+ sendmsg\(\d+` + socket + `, "hello", SCM_RIGHTS \[0` + null + `\], 0\) = 5\n` +
		`\d+ recvmsg\(\d+` + socket + `, "hello", SCM_RIGHTS \[\d+` + null + ` close-on-exec\], MSG_CMSG_CLOEXEC\) = 5 MSG_CMSG_CLOEXEC\n$`)
	r := finish(t, scmCommand(append([]string{"trace", "--"}, tracee("pass")...)...))
	if r.code != 0 || !want.MatchString(r.stderr) {
		t.Errorf("got %+v, want %v", r, want)
	}

	r = finish(t, scmCommand(append([]string{"trace", "--raw", "--"}, tracee("pass")...)...))
	if r.code != 0 || !strings.Contains(r.stderr, "\n    entry  68656c6c6f\n") {
		t.Errorf("with --raw: got %+v, want the bytes of hello at the entry", r)
	}
	file := filepath.Join(t.TempDir(), "trace")
	r = finish(t, scmCommand(append([]string{"trace", "-o", file, "--"}, tracee("pass")...)...))
	check(t, "with -o", r, result{})
	if text := contents(t, file); !want.MatchString(text) {
		t.Errorf("with -o: got\n%swant %v", text, want)
	}
}

// At its end, the trace lists the received descriptors that were still open, or that an exec passed on. The exit
// status stays that of the command.
func TestTraceStillOpen(t *testing.T) {
	traceable(t)
	// Both can be /dev/null, which is then open for reading and for writing.
	line := func(event, access string, descriptor int) string {
		return fmt.Sprintf(`\d+ %s \d+<character device /dev/null, %s>, descriptor %d of 2 from recvmsg\(\d+<unix seqpacket socket:\[\d+\]>\)\n`,
			event, access, descriptor)
	}
	exit := "exit: still open"
	for _, c := range []struct{ name, want string }{
		{"pass", ""},
		{"leak one", line(exit, "write", 2)},
		{"leak two", line(exit, "read", 1) + line(exit, "write", 2)},
		{"pass on", line(`exec \S+: passed on`, "write", 2) + line(exit, "write", 2)},
	} {
		r := finish(t, scmCommand(append([]string{"trace", "--"}, tracee(c.name)...)...))
		want := regexp.MustCompile(`^\d+ sendmsg\(.*\n\d+ recvmsg\(.*\n` + c.want + "$")
		if r.code != 0 || !want.MatchString(r.stderr) {
			t.Errorf("%s: %+v, want %v", c.name, r, want)
		}
	}

	for _, raw := range []bool{false, true} {
		args := append([]string{"trace", "--json", fmt.Sprintf("--raw=%v", raw), "--"}, tracee("leak one")...)
		r := finish(t, scmCommand(args...))
		lines := strings.Split(strings.TrimSuffix(r.stderr, "\n"), "\n")
		var call struct {
			PID, TID int
			Socket   struct{ FD int }
			Messages []struct {
				Control []struct{ Files []struct{ FD int } }
			}
			Entry []struct{}
		}
		if len(lines) != 3 || json.Unmarshal([]byte(lines[1]), &call) != nil || len(call.Entry) > 0 != raw {
			t.Fatalf("--raw=%v: got %+v, want three lines, with the bytes only if raw", raw, r)
		}
		fd := call.Messages[0].Control[0].Files[1].FD
		want := fmt.Sprintf(`{"event":"exit","pid":%d,`+
			`"descriptor":{"fd":%d,"open":true,"kind":"character device","file":"/dev/null","access":"write","close_on_exec":false},`+
			`"received":{"pid":%d,"tid":%d,"call":"recvmsg","socket":{"fd":%d,"open":true,"kind":"unix seqpacket","file":"…"},"fd":%d,"index":2,"count":2}}`,
			call.PID, fd, call.PID, call.TID, call.Socket.FD, fd)
		if !like(lines[2], want) {
			t.Errorf("got %s\nwant %s", lines[2], want)
		}
	}
}

// The name of a file, which the program can choose freely, is quoted so that it cannot be taken for
// other text.
func TestTraceNames(t *testing.T) {
	traceable(t)
	for _, c := range []struct{ name, want string }{
		{"plain", "/plain, read>"},
		{"a\x1b[2J\n1 sendmsg(3, \u202e", `/a\x1b[2J\n1 sendmsg(3, \u202e", read>`},
		{"a, read> close-on-exec], 0) = 1", `/a, read> close-on-exec], 0) = 1", read>`},
		{"##vso[task.complete]", `/#\x23vso[task.complete]", read>`},
	} {
		file := filepath.Join(t.TempDir(), c.name)
		fdtest.Must(t, os.WriteFile(file, nil, 0o600))
		cmd := scmCommand(append([]string{"trace", "--"}, tracee("pass")...)...)
		in, err := os.Open(file)
		fdtest.Must(t, err)
		defer in.Close()
		cmd.Stdin = in
		r := finish(t, cmd)
		if strings.Count(r.stderr, c.want) != 2 || strings.Count(r.stderr, "\n") != 2 || strings.Contains(r.stderr, "\x1b") {
			t.Errorf("got %q, want %q", r.stderr, c.want)
		}
	}
}
