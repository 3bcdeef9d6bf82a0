package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDiff(t *testing.T) {
	traceable(t)
	both := func(a, b []string) []string { return slices.Concat([]string{"diff", "--"}, a, []string{"---"}, b) }
	one := tracee(t, "pass")
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"a program and itself", both(one, one), 0, "same: 2 calls\n", ""},
		{"one call", both(tracee(t, "unset"), tracee(t, "unset")), 0, "same: 1 call\n", ""},
		{"with all memory", append([]string{"diff", "--all-memory"}, both(one, one)[1:]...), 0, "same: 2 calls\n", ""},
		{"names chosen by the kernel", both(tracee(t, "named"), tracee(t, "named")), 0, "same: 2 calls\n", ""},
		{"timestamps and UDP sockets", both(tracee(t, "timed"), tracee(t, "timed")), 0, "same: 11 calls\n", ""},
		{"the data available to a receive", both(tracee(t, "early"), tracee(t, "late")), 1, "different: call 1 of process 1 (recvmsg), at its exit: the result: -1 EAGAIN against 1\n  A: …\n  B: …\nThe data available to a receive, from a stream or without waiting, can change from run to run.\n", ""},
		{"the space available to a send", both(tracee(t, "room"), tracee(t, "no room")), 1, "different: call 1 of process 1 (sendmsg), at its exit: the result: 1 against -1 EAGAIN\n  A: …\n  B: …\nThe space available to a send, to a stream or without waiting, can change from run to run.\n", ""},
		{"behind a shell", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; true"}), 0, "same: 2 calls\n", ""},
		{"the pair and a message of one", both(one, tracee(t, "pair")), 0, "same: 2 calls\n", ""},
		{"a flag", both(one, tracee(t, "flag")), 1, "different: call 1 of process 1 (sendmsg), at its entry: flags: 0 against MSG_NOSIGNAL\n  A: sendmsg(", ""},
		{"a call and none", both(one, tracee(t, "plain")), 1, "different: call 1 of process 1 (sendmsg): the call: sendmsg against none\n  A: …\n  B: …\nWhether there is another call, and which, can change from run to run.\n", ""},
		{"descriptors left open", both(tracee(t, "leak two"), tracee(t, "leak two")), 0, "same: 2 calls\n", ""},
		{"a descriptor left open", both(tracee(t, "leak one"), tracee(t, "leak two")), 1, "different: call 2 of process 1 (recvmsg): received descriptor 1 at the exit of process 1: no longer open against still open\n  A: recvmsg(…\n  B: recvmsg(…", ""},
		{"a descriptor left open by the first", both(tracee(t, "leak two"), tracee(t, "leak one")), 1, "different: call 2 of process 1 (recvmsg): received descriptor 1 at the exit of process 1: still open against no longer open\n", ""},
		{"a descriptor passed on", both(tracee(t, "leak one"), tracee(t, "pass on")), 1, "different: call 2 of process 1 (recvmsg): received descriptor 2 at an exec of process 1: not passed on against passed on\n", ""},
		{"no calls at all", both(tracee(t, "plain"), []string{"true"}), 4, "", "nothing was compared"},
		{"a command that fails", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; exit 6"}), 0, "same: 2 calls\n", "exit status 6"},
		{"no such command", both(one, []string{"no-such-command"}), 4, "", "not found"},
		{"one command", append([]string{"diff", "--"}, one...), 2, "", "two commands"},
		{"no first command", append([]string{"diff", "--", "---"}, one...), 2, "", "two commands"},
		{"no second command", append(append([]string{"diff", "--"}, one...), "---"), 2, "", "two commands"},
	} {
		r := ran(t, scmCommand(t, c.args...))
		if r.code != c.code || !like(r.out, c.out+"…") || c.out == "" && r.out != "" || !strings.Contains(r.errors, c.err) {
			t.Errorf("%s: %+v, want %d, %s, %s", c.name, r, c.code, c.out, c.err)
		}
	}
}

// The name of a file cannot be a command for a CI server that prints the difference.
func TestDiffNames(t *testing.T) {
	traceable(t)
	name := filepath.Join(t.TempDir(), "##vso[task.complete]")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := scmCommand(t, slices.Concat([]string{"diff", "--"}, tracee(t, "pass"), []string{"---"}, tracee(t, "flag"))...)
	cmd.Stdin = in
	r := ran(t, cmd)
	if r.code != 1 || strings.Contains(r.out, "##") || strings.Count(r.out, `/#\x23vso[task.complete]", read>`) != 2 {
		t.Errorf("%+v", r)
	}
}

// A difference that can be due to the run has a note.
func TestDiffNotes(t *testing.T) {
	traceable(t)
	notes := map[string]string{
		"processes": "Several processes make calls: which of them make calls, and in which order, can change from run to run.\n",
		"threads":   "The process has several threads that make calls: their order can change from run to run.\n",
		"call":      "Whether there is another call, and which, can change from run to run.\n",
		"clock":     "A timeout that a program computes from the clock changes from run to run.\n",
		"unused":    "The kernel ignores these bytes: a program that leaves them unset can differ from itself.\n",
	}
	children := func(a, b string) []string {
		return []string{"sh", "-c", strings.Join(tracee(t, a), " ") + "; " + strings.Join(tracee(t, b), " ") + "; true"}
	}
	for _, c := range []struct {
		name string
		a, b []string
		note string
	}{
		{"several threads", tracee(t, "threads"), tracee(t, "pass"), notes["threads"] + notes["call"]},
		{"several processes", children("pass", "flag"), children("flag", "pass"), notes["processes"]},
		{"a flag of the call", tracee(t, "flag"), tracee(t, "pass"), ""},
		{"timeout", tracee(t, "a minute"), tracee(t, "an hour"), notes["clock"]},
		{"msg_flags", tracee(t, "unset"), tracee(t, "unset flags"), notes["unused"]},
		{"padding", tracee(t, "unset"), tracee(t, "unset padding"), notes["unused"]},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "padding" && unix.CmsgLen(4) == unix.CmsgSpace(4) {
				t.Skip("on a 32-bit system a control message with one descriptor has no padding")
			}
			r := ran(t, scmCommand(t, slices.Concat([]string{"diff", "--"}, c.a, []string{"---"}, c.b)...))
			if lines := strings.SplitAfterN(r.out, "\n", 4); r.code != 1 || len(lines) < 4 || lines[3] != c.note {
				t.Errorf("%+v, want the note %q", r, c.note)
			}
		})
	}
}

// Calls with unreadable memory are not reported as the same.
func TestDiffUnreadable(t *testing.T) {
	traceable(t)
	mem, err := secretMemory()
	if err != nil {
		t.Skip(err)
	}
	_ = unix.Munmap(mem)
	secret := tracee(t, "secret")
	r := ran(t, scmCommand(t, slices.Concat([]string{"diff", "--"}, secret, []string{"---"}, secret)...))
	if r.code != 4 || r.out != "" || r.errors != "scm: not compared: 2 calls whose memory could not be read, or whose descriptors could not be looked up; all other calls are the same\n" {
		t.Errorf("%+v", r)
	}
}

// Both commands can read all of standard input, from a pipe and from a file.
func TestDiffInput(t *testing.T) {
	traceable(t)
	args := slices.Concat([]string{"diff", "--"}, tracee(t, "echo"), []string{"---"}, tracee(t, "echo"))
	text := bytes.Repeat([]byte("many lines\n"), 3000)
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}

	pipe := scmCommand(t, args...)
	pipe.Stdin = bytes.NewReader(text)
	if r := ran(t, pipe); r.code != 0 || r.out != "same: 2 calls\n" || r.errors != "" {
		t.Errorf("a pipe: %+v", r)
	}

	file := scmCommand(t, args...)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	file.Stdin = f
	if r := ran(t, file); r.code != 0 || r.out != "same: 2 calls\n" || r.errors != "" {
		t.Errorf("a file: %+v", r)
	}
}
