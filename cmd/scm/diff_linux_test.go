package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"golang.org/x/sys/unix"
)

func TestDiff(t *testing.T) {
	traceable(t)
	both := func(a, b []string, flags ...string) []string {
		return slices.Concat([]string{"diff"}, flags, []string{"--"}, a, []string{"---"}, b)
	}
	one := tracee("pass")
	served := func(args ...string) []string { return append(tracee("clients"), args...) }
	port := filepath.Join(t.TempDir(), "port") // the same program in another file
	fdtest.Must(t, exec.Command("cp", one[2], port).Run())
	ported := func(args ...string) []string {
		return append([]string{"env", reexec.Variable + "=clients", port}, args...)
	}
	counted := filepath.Join(t.TempDir(), "runs")
	nonce := func(end string) []string { return append(tracee("nonce"), counted, end) }
	nth := func(texts ...string) []string {
		return append(tracee("nth"), append([]string{filepath.Join(t.TempDir(), "runs")}, texts...)...)
	}
	everyRun := []string{"0123456789"}
	for i := range 9 { // another byte in each
		everyRun = append(everyRun, "012345678"[:i+1]+"x"+"0123456789"[i+2:])
	}
	everyRun = append(everyRun, everyRun[0])
	send := func(text string) []string { return append(tracee("send"), text) }
	long := strings.Repeat("a", 4999)
	const middle, received = "sendmsg: payload[1:4] of 6", "recvmsg: payload[1:4] of 6 on return"
	const flag = "sendmsg: flags: 0 against MSG_NOSIGNAL"
	const leak = "recvmsg: received descriptor 1 at the exit of process 1: no longer open against still open"
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"a program and itself", both(one, one), 0, "same: 2 calls\n", ""},
		{"one call", both(tracee("an hour"), tracee("an hour")), 0, "same: 1 call\n", ""},
		{"with all memory", both(one, one, "--all-memory"), 0, "same: 2 calls\n", ""},
		{"names chosen by the kernel", both(tracee("named"), tracee("named")), 0, "same: 2 calls\n", ""},
		{"timestamps and UDP sockets", both(tracee("timed"), tracee("timed")), 0, "same: 11 calls\n", ""},
		{"the data available to a receive", both(tracee("early"), tracee("late")), 1, "different: call 1 of process 1, … (recvmsg), at its exit: the result: -1 EAGAIN against 1\n  A: …\n  B: …\nThe data available to a receive, from a stream or without waiting, can change from run to run.\n", ""},
		{"the space available to a send", both(tracee("room"), tracee("no room")), 1, "different: call 1 of process 1, … (sendmsg), at its exit: the result: 1 against -1 EAGAIN\n  A: …\n  B: …\nThe space available to a send, to a stream or without waiting, can change from run to run.\n", ""},
		{"behind a shell", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; true"}), 0, "same: 2 calls\n", ""},
		{"a flag", both(one, tracee("flag")), 1, "different: call 1 of process 1, … (sendmsg), at its entry: flags: 0 against MSG_NOSIGNAL\n  A: sendmsg(", ""},
		{"a call and none", both(one, tracee("plain")), 1, "different: call 1 of process 1, … (sendmsg): the call: sendmsg against none\n  A: …\n  B: …\nWhether there is another call, and which, can change from run to run.\n", ""},
		{"descriptors left open", both(tracee("leak two"), tracee("leak two")), 0, "same: 2 calls\n", ""},
		{"a descriptor left open", both(tracee("leak one"), tracee("leak two")), 1, "different: call 2 of process 1, … (recvmsg): received descriptor 1 at the exit of process 1: no longer open against still open\n  A: recvmsg(…\n  B: recvmsg(…", ""},
		{"a descriptor left open by the first", both(tracee("leak two"), tracee("leak one")), 1, "different: call 2 of process 1, … (recvmsg): received descriptor 1 at the exit of process 1: still open against no longer open\n", ""},
		{"a descriptor passed on", both(tracee("leak one"), tracee("pass on")), 1, "different: call 2 of process 1, … (recvmsg): received descriptor 2 at an exec of process 1: not passed on against passed on\n", ""},
		{"no calls at all", both(tracee("plain"), []string{"true"}), 4, "", "nothing was compared"},
		{"a command that fails", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; exit 6"}), 0, "same: 2 calls\n", "exit status 6"},
		{"no such command", both(one, []string{"no-such-command"}), 4, "", "not found"},
		{"an allowed flag", both(one, tracee("flag"), "--allow", flag), 0, "same: 2 calls, with 1 allowed difference in 1 call\n", ""},
		{"any flags", both(one, tracee("flag"), "--allow", "sendmsg: flags"), 0, "same: 2 calls, with 1 allowed difference in 1 call\n", ""},
		{"other flags", both(one, tracee("flag"), "--allow", "sendmsg: flags: 0 against 1"), 1, "different: …--allow '" + flag + "' (1 call of process 1, …)\nallowed, but did not occur: sendmsg: flags: 0 against 1\n", ""},
		{"an allowed flag that is the same", both(one, one, "--allow", flag), 0, "same: 2 calls\nallowed, but did not occur: " + flag + "\n", ""},
		{"an allowed flag and a descriptor left open", both(tracee("leak one"), tracee("leak two at a flag"), "--allow", "recvmsg: flags"), 1, "different: call 2 of process 1, … (recvmsg): received descriptor 1 at the exit of process 1: no longer open against still open\n", ""},
		{"an allowed descriptor left open", both(tracee("leak one"), tracee("leak two"), "--allow", leak), 0, "same: 2 calls, with 1 allowed difference in 1 call\n", ""},
		{"a process and none", both(one, []string{"sh", "-c", strings.Join(one, " ") + "; " + strings.Join(tracee("flag"), " ")}), 1, "different: call 1 of process 2, … (sendmsg): the call: none against sendmsg\n", ""},
		{"an allowed call", both(one, tracee("plain"), "--allow", "sendmsg: the call: sendmsg against none"), 4, "", "not compared: --allow permits a missing call"},
		{"any result", both(one, one, "--allow", "recvmsg: the result on return"), 2, "", "both values"},
		{"flags of sendmmsg", both(tracee("clear"), tracee("end of record")), 1, "different: call 3 of process 1, … (sendmmsg), at its entry: message 0, msg_flags: 0 against MSG_EOR …", ""},
		{"any bytes", both(send("abcdef"), send("axxxef"), "--allow", middle, "--allow", received), 0, "same: 2 calls, with 2 allowed differences in 2 calls\n", ""},
		{"the next byte", both(send("abcdef"), send("axxxxf"), "--allow", middle), 1, "different: call 1 of process 1, … (sendmsg), at its entry: payload[4:5] of 6: 65 against 78\n", ""},
		{"a longer payload", both(send("abcdef"), send("axxxefg"), "--allow", middle), 1, "different: …sendmsg: payload[1:7] of 6 and 7: 6263646566 against 787878656667' (1 call of process 1, …)\n…allowed, but did not occur: " + middle, ""},
		{"any bytes after the first 4 KiB", both(send(long+"b"), send(long+"c"), "--allow", "sendmsg: payload[4096:5000] of 5000"), 0, "same: 2 calls, with 1 allowed difference in 1 call\n", ""},
		{"another value beside allowed ones", both(send("abcdef"), send("xbcdef"), "--allow", "sendmsg: payload[0:1] of 6: 61 against 79"), 1, "different: …payload[0:1] of 6: 61 against 78\n", ""},
		{"another field beside any values", both(send("abcdef"), tracee("flag"), "--allow", "sendmsg: iov_len"), 1, "different: …flags: 0 against MSG_NOSIGNAL\n", ""},
		{"one process", both(children("pass", "flag"), children("flag", "flag"), "--process", "2"), 0, "same: 2 calls\nleft out by --process: 2 calls of A, 2 of B\n", ""},
		{"a process at another place", both(children("pass", "flag"), tracee("flag"), "--process", "2:1"), 0, "same: 2 calls\nleft out by --process: 2 calls of A, 0 of B\n", ""},
		{"a flag in one process", both(children("flag", "pass"), children("pass", "flag"), "--process", "2"), 1, "different: call 1 of process 2, … (sendmsg), at its entry: flags: 0 against MSG_NOSIGNAL\n", ""},
		{"an extra call in one process", both(children("flag", "pass"), children("pass", "twice"), "--process", "2"), 1, "different: call 3 of process 2, … (sendmsg): the call: none against sendmsg\n", ""},
		{"a descriptor that one process leaves open", both(children("flag", "leak one"), tracee("leak two"), "--process", "2:1"), 1, "different: call 2 of process 2, … (recvmsg): received descriptor 1 at the exit of process 2: no longer open against still open\n", ""},
		{"a process that only one program has", both(children("pass", "pass"), one, "--process", "2"), 1, "different: call 1 of process 2, … (sendmsg): the call: sendmsg against none\n", ""},
		{"a process at another place, with a self-test", both(children("pass", "flag"), tracee("flag"), "--process", "2:1", "--self-test"), 0, "same: 2 calls\nleft out by --process: 2 calls of A, 0 of B\n", ""},
		{"no such process", both(one, one, "--process", "1", "--process", "9:8"), 4, "", "--process 9:8: neither command has such a process"},
		{"not the number of a process", both(one, one, "--process", "1:0"), 2, "", "with numbers from 1"},
		{"a process twice", both(one, one, "--process", "1", "--process", "1:2"), 2, "", "each number only once"},
		{"later differences of another process", both(children("pass", "flag"), children("twice", "pass")), 1, "different: call 3 of process 1, …: none against sendmsg' (1 call of process 1, …)\nand 1 later difference of process 2, … (-v lists all)\n", ""},
		{"later differences with -v", both(children("pass", "flag"), children("twice", "pass"), "-v"), 1, "different: call 3 of process 1, …--allow 'sendmsg: flags: MSG_NOSIGNAL against 0' (1 call of process 2, …)\n", ""},
		{"a server that forks and one that does not", both(served("1", "leak"), ported("2", "close"), "--by", "connection"), 0, "same: 16 calls\n", ""},
		{"a server and itself, by connection", both(served("1", "leak"), served("1", "leak"), "--by", "connection"), 0, "same: 16 calls\n", ""},
		{"an extra call on a connection", both(served("1", "close"), ported("2", "extra"), "--by", "connection"), 1, "different: call 3 of connection 2, … (recvmsg): the call: recvmsg against sendmsg\n", ""},
		{"a descriptor left open by a server that does not fork", both(served("1", "leak"), ported("2", "leak"), "--by", "connection"), 1, "different: call 1 of connection 2, … (recvmsg): received descriptor 1 at the exit of its process: not compared against still open\n", ""},
		{"one connection", both(one, one, "--by", "connection", "--process", "1"), 0, "same: 1 call\nleft out by --process: 1 call of A, 1 of B\n", ""},
		{"by something else", both(one, one, "--by", "thread"), 2, "", "--by needs process or connection"},
		{"uninitialized bytes", both(nonce("ef"), nonce("ef"), "--self-test"), 0, "same: 2 calls, with 2 allowed differences in 2 calls\n--allow 'call 1 of process 1, " + middle + "' (not the same in each run of A)\n--allow 'call 2 of process 1, " + received + "' (…)\n", ""},
		{"bytes that change in a later run", both(nth("ab", "ab", "xb", "xx"), send("xx"), "--self-test"), 0, "same: 2 calls, with 2 allowed differences in 2 calls\n--allow 'call 1 of process 1, sendmsg: payload[0:2] of 2' (…)\n--allow 'call 2 of process 1, recvmsg: payload[0:2] of 2 on return' (…)\n", ""},
		{"bytes that change in each run", both(nth(everyRun...), send(everyRun[0]), "--self-test"), 0, "same: 2 calls\n--allow 'call 1 of process 1, sendmsg: payload[1:10] of 10' (…)\n…\nThe list is not complete: other bytes changed in the last of 10 runs of A.\n", ""},
		{"allowed bytes in a self-test", both(nonce("ef"), nonce("ef"), "--self-test", "--allow", middle), 0, "same: 2 calls, with 2 allowed differences in 2 calls\n--allow 'call 2 of process 1, " + received + "' (not the same in each run of A)\n", ""},
		{"a range after the end", both(one, one, "--allow", "sendmsg: payload[1:7] of 6"), 2, "", "--allow needs a range of bytes in the buffer, such as payload[1:4] of 16"},
		{"a connection, by process", both(one, one, "--allow", "call 1 of connection 1, sendmsg: flags"), 2, "", "--allow needs the number of a process or, with --by connection, of a connection"},
		{"the next byte after uninitialized ones", both(nonce("ef"), nonce("xf"), "--self-test"), 1, "different: call 1 of process 1, … (sendmsg), at its entry: payload[4:5] of 6: 65 against 78\n", ""},
		{"a longer payload with uninitialized bytes", both(nonce("ef"), nonce("efg"), "--self-test"), 1, "different: …payload[1:7] of 6 and 7: …", ""},
		{"a program that differs from itself", both([]string{"sh", "-c", "mkdir " + t.TempDir() + "/once && exec '" + strings.Join(one, "' '") + "' || exec '" + strings.Join(tracee("flag"), "' '") + "'"}, one, "--self-test"), 4, "different: …flags: 0 against MSG_NOSIGNAL…", "the first program differs from itself"},
		{"uninitialized bytes after the first 4 KiB", both([]string{"sh", "-c", strings.Join(send("$(printf %05000d $$)"), " ")}, one, "--self-test"), 4, "different: …payload[4096:5000] of 5000: SHA-256 …", "the first program differs from itself"},
		{"one command", append([]string{"diff", "--"}, one...), 2, "", "two commands"},
		{"no first command", append([]string{"diff", "--", "---"}, one...), 2, "", "two commands"},
		{"no second command", append(append([]string{"diff", "--"}, one...), "---"), 2, "", "two commands"},
	} {
		r := finish(t, scmCommand(c.args...))
		if r.code != c.code || !like(r.stdout, c.out+"…") || c.out == "" && r.stdout != "" || !strings.Contains(r.stderr, c.err) {
			t.Errorf("%s: %+v, want %d, %s, %s", c.name, r, c.code, c.out, c.err)
		}
	}
}

// The name of a file cannot be a command for a CI server that prints the difference.
func TestDiffNames(t *testing.T) {
	traceable(t)
	name := filepath.Join(t.TempDir(), "##vso[task.complete]")
	fdtest.Must(t, os.WriteFile(name, nil, 0o600))
	in, err := os.Open(name)
	fdtest.Must(t, err)
	defer in.Close()
	cmd := scmCommand(slices.Concat([]string{"diff", "--"}, tracee("pass"), []string{"---"}, tracee("flag"))...)
	cmd.Stdin = in
	r := finish(t, cmd)
	const want = `/#\x23vso[task.complete]", read>`
	if r.code != 1 || strings.Contains(r.stdout, "##") || strings.Count(r.stdout, want) != 2 {
		t.Errorf("got %v, want exit status 1, %s twice, and no ##", r, want)
	}
}

// children returns a command that runs two tracees, one after the other.
func children(a, b string) []string {
	quoted := func(name string) string { return "'" + strings.Join(tracee(name), "' '") + "'; " }
	return []string{"sh", "-c", quoted(a) + quoted(b) + "true"}
}

// A difference that can be due to the run has a note.
func TestDiffNotes(t *testing.T) {
	traceable(t)
	note := map[string]string{
		"processes": "Several processes make calls: which of them make calls, and in which order, can change from run to run.\n",
		"threads":   "The process has several threads that make calls: their order can change from run to run.\n",
		"call":      "Whether there is another call, and which, can change from run to run.\n",
		"name":      "A name that a program chooses at random changes from run to run.\n",
		"clock":     "A timeout that a program computes from the clock changes from run to run.\n",
	}
	for _, c := range []struct {
		name string
		a, b []string
		want string
	}{
		{"several threads", tracee("threads"), tracee("pass"), note["threads"] + note["call"]},
		{"several processes", children("pass", "pass"), children("twice", "pass"), note["processes"] + note["call"]},
		{"a flag in one of several processes", children("pass", "flag"), children("flag", "pass"), ""},
		{"a flag of the call", tracee("flag"), tracee("pass"), ""},
		{"name", append(tracee("to"), "one"), append(tracee("to"), "two"), note["name"]},
		{"timeout", tracee("a minute"), tracee("an hour"), note["clock"]},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := finish(t, scmCommand(slices.Concat([]string{"diff", "--"}, c.a, []string{"---"}, c.b)...))
			lines := strings.SplitAfterN(r.stdout, "\n", 4)
			if got, _, _ := strings.Cut(lines[len(lines)-1], "--allow"); r.code != 1 || len(lines) < 4 || got != c.want {
				t.Errorf("%+v, want the note %q", r, c.want)
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
	r := finish(t, scmCommand(slices.Concat([]string{"diff", "--allow", "sendmsg: flags", "--"}, tracee("secret"), []string{"---"}, tracee("secret flag"))...))
	const want = "scm: not compared: 2 calls whose memory could not be read, or whose descriptors could " +
		"not be looked up; all other calls are the same\n"
	check(t, "diff", r, result{code: 4, stderr: want})
}

// Differences in bytes that the kernel ignores count with --padding only.
func TestDiffPadding(t *testing.T) {
	traceable(t)
	fields := []string{"msg_flags", "msg_len", "msg_namelen", "padding after cmsg_data", "padding after msg_flags",
		"padding after msg_len", "padding after msg_namelen"}
	if strconv.IntSize == 32 {
		fields = fields[:3] // there is no padding
	}
	commands := slices.Concat([]string{"--"}, tracee("clear"), []string{"---"}, tracee("unset"))
	want := "same: 4 calls\nnot counted, the kernel ignores them: " + strings.Join(fields, ", ") + " (--padding counts them)\n"
	ends(t, result{stdout: want}, scmCommand(append([]string{"diff", "-v"}, commands...)...))
	ends(t, result{stdout: "same: 4 calls\n"}, scmCommand(append([]string{"diff"}, commands...)...))
	r := finish(t, scmCommand(append([]string{"diff", "--padding", "-v"}, commands...)...))
	check(t, "with --padding", r, result{1, "different: …\nThe kernel ignores these bytes: a program that leaves them unset can differ from itself.\n--allow …", ""})
	for _, f := range fields {
		if !like(r.stdout, "…msg: "+f+"…") && !like(r.stdout, "…message 0, "+f+"…") {
			t.Errorf("with --padding, %s does not count: %s", f, r.stdout)
		}
	}
}

// The output of the commands is written to standard error, or discarded with --quiet.
func TestDiffOutput(t *testing.T) {
	traceable(t)
	loud := []string{"sh", "-c", "echo out; echo error >&2; exec '" + strings.Join(tracee("pass"), "' '") + "'"}
	commands := slices.Concat([]string{"--"}, loud, []string{"---"}, loud)
	ends(t, result{stdout: "same: 2 calls\n", stderr: "out\nerror\nout\nerror\n"}, scmCommand(append([]string{"diff"}, commands...)...))
	ends(t, result{stdout: "same: 2 calls\n"}, scmCommand(append([]string{"diff", "--quiet"}, commands...)...))
}

// Both commands can read all of standard input, from a pipe and from a file.
func TestDiffInput(t *testing.T) {
	traceable(t)
	text := strings.Repeat("many lines\n", 3000)
	file, err := os.Open(write(t, text))
	fdtest.Must(t, err)
	defer file.Close()
	for _, input := range []io.Reader{strings.NewReader(text), file} {
		cmd := scmCommand(slices.Concat([]string{"diff", "--"}, tracee("echo"), []string{"---"}, tracee("echo"))...)
		cmd.Stdin = input
		ends(t, result{stdout: "same: 2 calls\n"}, cmd)
	}
}
