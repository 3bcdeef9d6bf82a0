package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
		{"with names that the kernel chooses", both(tracee(t, "named"), tracee(t, "named")), 0, "same: 2 calls\n", ""},
		{"with names that the kernel chooses, all memory", append([]string{"diff", "--all-memory"}, both(tracee(t, "named"), tracee(t, "named"))[1:]...), 0, "same: 2 calls\n", ""},
		{"times, and other sockets", both(tracee(t, "timed"), tracee(t, "timed")), 0, "same: 11 calls\n", ""},
		{"times, and other sockets, all memory", append([]string{"diff", "--all-memory"}, both(tracee(t, "timed"), tracee(t, "timed"))[1:]...), 0, "same: 11 calls\n", ""},
		{"what a receive finds", both(tracee(t, "early"), tracee(t, "late")), 1, "different: call 1 of process 1 (recvmsg), at its exit: the result: -1 EAGAIN against 1\n  A: …\n  B: …\nWhat a receive finds, of a stream or without waiting, can change from run to run.\n", ""},
		{"two files, of one number or two", both(tracee(t, "two files"), tracee(t, "two files beside")), 0, "same: 2 calls\n", ""},
		{"one file and two, of one number", both(tracee(t, "one file"), tracee(t, "two files")), 1, "different: call 2 of process 1 (sendmsg), at its entry: SCM_RIGHTS, descriptor 0: descriptor 2 of the process, memfd, read-write against descriptor 3 of the process, memfd, read-write (", ""},
		{"files without a name, which the kernel may give one inode, of one number", both(tracee(t, "unnamed once"), tracee(t, "unnamed twice")), 0, "same: 2 calls\n", ""},
		{"a socket that was used, and another", both(tracee(t, "used socket"), tracee(t, "new socket")), 1, "different: call 2 of process 1 (sendmsg), at its entry: SCM_RIGHTS, descriptor 0: descriptor 1 of the process, unix seqpacket, read-write against descriptor 3 of the process, unix seqpacket, read-write (", ""},
		{"the socket of the call, and another", both(tracee(t, "own socket"), tracee(t, "socket of peer")), 1, "different: call 1 of process 1 (sendmsg), at its entry: SCM_RIGHTS, descriptor 0: descriptor 1 of the process, unix seqpacket, read-write against descriptor 2 of the process, unix seqpacket, read-write (", ""},
		{"a file that loses its name", both(tracee(t, "renamed"), tracee(t, "as it was")), 0, "same: 2 calls\n", ""},
		{"what a send finds room for", both(tracee(t, "room"), tracee(t, "no room")), 1, "different: call 1 of process 1 (sendmsg), at its exit: the result: 1 against -1 EAGAIN\n  A: …\n  B: …\nWhat a send finds room for, of a stream or without waiting, can change from run to run.\n", ""},
		{"behind a shell", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; true"}), 0, "same: 2 calls\n", ""},
		{"the pair and a message of one", both(one, tracee(t, "pair")), 0, "same: 2 calls\n", ""},
		{"a flag", both(one, tracee(t, "flag")), 1, "different: call 1 of process 1 (sendmsg), at its entry: flags: 0 against MSG_NOSIGNAL\n  A: sendmsg(", ""},
		{"nothing", both(one, tracee(t, "plain")), 1, "different: call 1 of process 1 (sendmsg): the call: sendmsg against none\n  A: …\n  B: …\nWhich call comes next, or whether one does, can change from run to run.\n", ""},
		{"nothing at all", both(tracee(t, "plain"), []string{"true"}), 4, "", "nothing was compared"},
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

// Who names a file gives no command to a CI server that prints the difference.
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

// What can differ from run to run has a note.
func TestDiffNotes(t *testing.T) {
	traceable(t)
	notes := map[string]string{
		"processes": "Several processes make calls: which of them makes one, and which first, can change from run to run.\n",
		"threads":   "The process has several threads that make calls: their order can change from run to run.\n",
		"call":      "Which call comes next, or whether one does, can change from run to run.\n",
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

// What cannot be read is not called the same.
func TestDiffUnreadable(t *testing.T) {
	traceable(t)
	mem, err := secretMemory()
	if err != nil {
		t.Skip(err)
	}
	_ = unix.Munmap(mem)
	secret := tracee(t, "secret")
	r := ran(t, scmCommand(t, slices.Concat([]string{"diff", "--"}, secret, []string{"---"}, secret)...))
	if r.code != 4 || r.out != "" || r.errors != "scm: not compared: 5 bytes that could not be recorded, the first of them of payload of call 1 of process 1 (sendmsg)\n" {
		t.Errorf("%+v", r)
	}
}

// What goes by io_uring is not seen, and that is said.
func TestUring(t *testing.T) {
	traceable(t)
	if err := setUpUring(); err != nil {
		t.Skip(err)
	}
	one, ring := tracee(t, "pass"), tracee(t, "uring")
	for _, c := range []struct {
		name   string
		a, b   []string
		code   int
		errors string
	}{
		{"neither", one, one, 0, ""},
		{"the first", ring, one, 4, "not compared: calls that are not recorded"},
		{"the second", one, ring, 4, "not compared: calls that are not recorded"},
		{"a difference", ring, tracee(t, "flag"), 1, "uses io_uring"},
	} {
		r := ran(t, scmCommand(t, slices.Concat([]string{"diff", "--"}, c.a, []string{"---"}, c.b)...))
		if r.code != c.code || (r.code == 4) != (r.out == "") || !strings.Contains(r.errors, c.errors) || c.errors == "" && r.errors != "" {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	r := ran(t, scmCommand(t, append([]string{"trace", "-o", os.DevNull, "--"}, ring...)...))
	if r.code != 0 || !strings.HasSuffix(r.errors, " uses io_uring: what it passes by it is not recorded\n") || strings.Count(r.errors, "\n") != 1 {
		t.Errorf("trace: %+v", r)
	}
}

// Both commands read all of standard input, whatever it is.
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

	// A pipe that nobody writes to and nobody closes does not hold up commands
	// that do not read.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	open := scmCommand(t, slices.Concat([]string{"diff", "--"}, tracee(t, "pass"), []string{"---"}, tracee(t, "pass"))...)
	open.Stdin = r
	if r := ran(t, open); r.code != 0 || r.out != "same: 2 calls\n" {
		t.Errorf("an open pipe: %+v", r)
	}

	// What is in it is there at once.
	if _, err := w.WriteString("one line\n"); err != nil {
		t.Fatal(err)
	}
	reads := []string{"sh", "-c", "read line && exec " + strings.Join(tracee(t, "pass"), " ")}
	line := scmCommand(t, slices.Concat([]string{"diff", "--"}, reads, []string{"---"}, reads)...)
	line.Stdin = r
	if r := ran(t, line); r.code != 0 || r.out != "same: 2 calls\n" {
		t.Errorf("a line in an open pipe: %+v", r)
	}
}

// However much the commands send and read, the records and the input take little
// memory.
func TestDiffMemory(t *testing.T) {
	traceable(t)
	const most = 256 << 10 // kB, where the payloads of one record are 125 MiB, and the input 400
	reads := []string{"sh", "-c", "cat >/dev/null; exec " + strings.Join(tracee(t, "pass"), " ")}
	for _, c := range []struct {
		name    string
		command []string
		in      io.Reader
		calls   int
	}{
		{"messages", tracee(t, "many"), nil, 2 * manyMessages},
		{"input", reads, io.LimitReader(zeros{}, 400<<20), 2},
	} {
		cmd := scmCommand(t, slices.Concat([]string{"diff", "--"}, c.command, []string{"---"}, c.command)...)
		cmd.Stdin = c.in
		if r := ran(t, cmd); r.code != 0 || r.out != fmt.Sprintf("same: %d calls\n", c.calls) {
			t.Fatalf("%s: %+v", c.name, r)
		}
		if got := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; got > most {
			t.Errorf("%s: %d kB were resident, want at most %d", c.name, got, most)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
