package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A case that fails first and then passes is flaky. A case that fails every time has failed.
func TestRetries(t *testing.T) {
	was := filepath.Join(t.TempDir(), "was")
	moody := shellPeer(t, `send) if [ -e `+was+` ]; then echo err EIO; else : >`+was+`; echo ok n=1; fi;; end) exec 3<&-; echo ok;;`)
	self, bad := runner(t), shellPeer(t, `recv) exit 7;;`)
	bad.Name = "bad"
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	once := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< err EIO\n")
	o := Run(context.Background(), []scenario.Case{onStream(once, moody, self), onStream(s, self, bad), onStream(s, self, self)}, nil, Options{Retries: 3})
	for i, want := range []struct {
		verdict scenario.Verdict
		tries   int
		why     string
	}{
		{scenario.Flaky, 2, "fail at first, and pass on attempt 2"},
		{scenario.Fail, 4, ""},
		{scenario.Pass, 0, ""},
	} {
		r := o.Results[i]
		if r.Verdict != want.verdict || r.Tries != want.tries || r.Why != want.why ||
			r.Unexpected() == (i == 2) {
			t.Errorf("case %d, %s: got %+v, want %+v, unexpected: %v", i, r.Name, r, want, i != 2)
		}
	}
}

func TestFailFast(t *testing.T) {
	self := runner(t)
	bad := shellPeer(t, `recv) exit 7;;`)
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	cases := []scenario.Case{onStream(s, self, self), onStream(s, self, bad), onStream(s, self, bad), onStream(s, self, bad)}
	o := Run(context.Background(), cases, nil, Options{FailFast: true})
	if len(o.Results) != 2 || o.Results[1].Verdict != scenario.Fail || !errors.Is(o.Cut, errFailFast) {
		t.Errorf("got %+v and %v, want a second case that fails and ends the run", o.Results, o.Cut)
	}
	x := expecting(t, "** crash@x why")
	if o := Run(context.Background(), cases, x, Options{FailFast: true}); len(o.Results) != len(cases) || o.Cut != nil {
		t.Errorf("what is expected ends the run: %d results, %v", len(o.Results), o.Cut)
	}
}

// If several cases in a row hang because of a peer, its other cases are not run, unless that is expected. Those of
// other peers are.
func TestMaxHangs(t *testing.T) {
	self, mute, halfMute := runner(t), shellPeer(t, "use) ;;"), shellPeer(t, "recv) ;; send) echo ok n=1;;")
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	silent := []scenario.Case{onStream(s, self, mute), onStream(s, mute, self), onStream(s, mute, mute), onStream(s, self, self)}
	alternating := []scenario.Case{onStream(s, self, halfMute), onStream(s, halfMute, self), onStream(s, self, halfMute), onStream(s, halfMute, self)}
	x := expecting(t, "** hang@x why")
	const fail, none, pass, known = scenario.Fail, scenario.NotRun, scenario.Pass, scenario.Expected
	for name, c := range map[string]struct {
		cases []scenario.Case
		x     *scenario.Expectations
		max   int
		want  []scenario.Verdict // in the order in which the cases run: those of the same two peers one after the other
	}{
		"its other cases are not run": {silent, nil, 2, []scenario.Verdict{fail, fail, pass, none}},
		"there is no limit":           {silent[:3], nil, -1, []scenario.Verdict{fail, fail, fail}},
		"that is expected":            {silent[:3], x, 2, []scenario.Verdict{known, known, known}},
		"it sends nothing in between": {alternating, nil, 2, []scenario.Verdict{fail, fail, none, none}},
	} {
		var got []scenario.Verdict
		for _, r := range Run(context.Background(), c.cases, c.x, Options{Timeout: deadline, MaxHangs: c.max}).Results {
			if got = append(got, r.Verdict); r.Verdict == none && (!strings.HasPrefix(r.Why, "2 cases in a row with the same peer, or 4 in all, hung because of x, so its other cases were not run") || r.Obstacle.Reason != scenario.ReasonHangs || r.AskedNoMore != "x") {
				t.Errorf("%s: %s, %q", name, r.Why, r.Obstacle.Reason)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// The peer at fault does not depend on which other cases are run: each peer is also run opposite
// the runner.
func TestAttributionOfOneCase(t *testing.T) {
	self := runner(t)
	liar := shellPeer(t, `send) echo ok n=1;;`) // it sends nothing
	right := shellPeer(t, `recv) echo err EAGAIN;;`)
	right.Name = "right"
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	for _, c := range []struct {
		a, b *scenario.Peer
		want string
	}{
		{liar, right, "answer@x"},
		{self, right, "answer@right"},
	} {
		results := 0
		o := Run(context.Background(), []scenario.Case{onStream(s, c.a, c.b)}, nil,
			Options{Runner: self, Timeout: deadline, Done: func(scenario.Result) { results++ }})
		if results != 1 || len(o.Results) != 1 || o.Results[0].Findings[0].Key() != c.want {
			t.Errorf("%d results: %+v, want %s", results, o.Results, c.want)
		}
	}
}

// The runner does not wait until the deadline for an answer that is expected not to arrive. It
// still reads one that arrives.
func TestExpectedHangIsNotWaitedFor(t *testing.T) {
	self := runner(t)
	hang := shellPeer(t, `recv) exec sleep 1000;;`)
	checkNothingLeft(t)
	s := mustParse(t, passOne)
	runWith := func(p *scenario.Peer) scenario.Result {
		x := expecting(t, "** hang@x why")
		return Run(context.Background(), []scenario.Case{onStream(s, self, p)}, x, Options{Timeout: time.Hour}).Results[0]
	}
	if r := runWith(hang); r.Verdict != scenario.Expected {
		t.Errorf("a peer that hangs: got %s, want expected", outcome(r))
	}
	// This peer runs for longer than the runner waits for one that sleeps.
	busy := shellPeer(t, `recv) i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done; echo err EAGAIN;;`)
	if r := runWith(busy); r.Verdict != scenario.Fail || r.Findings[0].Check != scenario.CheckAnswer {
		t.Errorf("a peer that runs long: got %s, want fail because of its answer", outcome(r))
	}
}

// Smoke accepts a peer that follows the contract, and otherwise reports what is wrong.
func TestSmoke(t *testing.T) {
	checkNothingLeft(t)
	fdtest.Must(t, process.Smoke(context.Background(), runner(t), process.DefaultTimeout))
	const polite = `hello) echo ok name=x can=stream;; use) sock=${rest#sock=}; echo ok;; end) [ -z "$sock" ] || eval "exec ${sock%% *}>&-"; echo ok;; `
	closes := strings.Replace(polite, "can=stream", "can=stream closes=yes", 1)
	for _, c := range []struct{ name, verbs, want string }{
		{"a correct peer", polite + "*) echo unsupported;;", ""},
		{"it accepts an unknown flag", polite + "send) case $rest in payload=@*) echo err EPERM;; *) echo ok n=1;; esac;; *) echo unsupported;;",
			`answered "ok n=1" to "send payload=00 fds=- flags=sideways", not unsupported (the command has an unknown flag, to which the answer is unsupported)` + "\n" +
				`answered "ok n=1" to "send payload=0g fds=-", not unsupported (the command has a payload that is not hexadecimal, to which the answer is unsupported)`},
		{"it sends zeros instead of the pattern", polite + `send) case $rest in payload=@*) eval "head -c 5000 /dev/zero >&${sock%% *}"; echo ok n=5000;; *) echo unsupported;; esac;; *) echo unsupported;;`,
			`answered "ok n=5000" to "send payload=@5000 fds=3 at=7", but the 5000 bytes that it sent are not the pattern`},
		{"it sends nothing", polite + "send) case $rest in payload=@*) echo ok n=5000;; *) echo unsupported;; esac;; *) echo unsupported;;",
			`answered "ok n=5000" to "send payload=@5000 fds=3 at=7", but the 0 bytes that it sent are not the pattern`},
		{"it does not recognize the pattern", polite + "recv) case $rest in bytes=5000*) echo ok n=5000 payload=!0 fds=-;; bytes=16*) echo ok n=1 payload=af fds=-;; *) echo unsupported;; esac;; *) echo unsupported;;",
			`answered "ok n=5000 payload=!0 fds=-" to "recv bytes=5000 fds=1 at=7", but the bytes that were sent to it are the pattern`},
		{"its library closes the socket when a call fails", closes + `send) case $rest in payload=@*) eval "exec ${sock%% *}>&-"; echo err EIO;; *) echo unsupported;; esac;; *) echo unsupported;;`, ""},
		{"it ends", polite + "send) exit 7;; *) echo unsupported;;", `"send payload=@5000 fds=3 at=7": the peer ended: exit status 7`},
		{"it does not begin", `hello) echo ok name=x can=stream;; end) echo no;; *) echo unsupported;;`, `answered "no" to "end", not ok`},
		{"its can= has an unknown word", `hello) echo ok name=x can=stream,levitation;; use|end) echo ok;; *) echo unsupported;;`,
			"can=stream,levitation is not a list of stream, dgram, seqpacket, multi, iov and flags"},
		{"it writes bytes in upper case", polite + "recv) case $rest in bytes=16*) echo ok n=1 payload=AF fds=-;; *) echo unsupported;; esac;; *) echo unsupported;;",
			`answered "ok n=1 payload=AF fds=-" to "recv bytes=16 fds=1": bytes are written in lower case`},
		{"its answer to hello has no can=", `hello) echo ok name=x;; *) echo unsupported;;`, `the answer to hello has no can=: "ok name=x"`},
		{"it ignores unknown fields", polite + "recv) case $rest in *color*) sleep 1000;; *) echo unsupported;; esac;; *) echo unsupported;;",
			`"recv bytes=1 fds=0 color=red": no answer in time (the command has an unknown field, to which the answer is unsupported)`},
	} {
		timeout := process.DefaultTimeout
		if strings.Contains(c.want, process.ErrHang.Error()) {
			timeout = deadline
		}
		p := scenario.Program("x", "/bin/sh", "-c", `trap "" PIPE; while read -r verb rest; do case $verb in `+c.verbs+` esac; done; exit 0`)
		err := process.Smoke(context.Background(), p, timeout)
		if got := fmt.Sprint(err); got != c.want && !(c.want == "" && err == nil) {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
	holder := regexp.MustCompile(`[0-9]+ \((sleep|sh)\)`)
	left := filepath.Join(t.TempDir(), "left") // while it exists, so does a process in a session of its own
	for _, c := range []struct{ start, end, want string }{
		{`trap "" PIPE`, "setsid sh -c ': >" + left + "; while [ -e " + left + " ]; do sleep 0.1; done' & until [ -e " + left + " ]; do :; done; exit 0",
			"at the end of its input: exit status 0, but a process that it started still has its standard error open"},
		{`trap "" PIPE`, "exit 3", "at the end of its input: exit status 3"},
		{`trap "" PIPE`, "sleep 1.5; exit 0", "<nil>"},
		{`trap "" PIPE`, "exec sleep 1000", "at the end of its input: the peer did not exit within 5s"},
		{`trap "" PIPE; sleep 2 &`, "exit 0", "<nil>"},
		{`trap "" PIPE; sleep 1000 &`, "exit 0", "a socket is still open in process PID after the end of the case"},
		{":", "exit 0", "it does not ignore SIGPIPE: a send to a closed socket may kill it"},
	} {
		bad := scenario.Program("x", "/bin/sh", "-c", c.start+"\n"+`while read -r verb rest; do case $verb in `+polite+` *) echo unsupported;; esac; done; `+c.end)
		err := process.Smoke(context.Background(), bad, process.DefaultTimeout)
		if got := holder.ReplaceAllString(fmt.Sprint(err), "PID"); got != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	const open = `while read -r verb rest; do case $verb in hello) echo ok name=x can=stream;; use|end) echo ok;; *) echo unsupported;; esac; done`
	const form = `"end" leaves the socket open in process [0-9]+: `
	const shell = "if that is a shell, or starts the peer, it must do so by exec"
	// background returns a peer that starts another program, and waits until the redirection has been done.
	background := func(redirection string) string {
		ready := filepath.Join(t.TempDir(), "ready")
		return fmt.Sprintf("(: >%[1]s; exec sleep 1000) %[2]s & until [ -e %[1]s ]; do :; done; %[3]s", ready, redirection, open)
	}
	for _, c := range []struct{ command, want string }{
		{open, "the peer itself has not closed it; " + shell},
		{background(">/dev/null"), "the peer itself has not closed it; " + shell},
		{background("3>&-"), "the peer itself has not closed it; " + shell},
		{open + " | cat", shell},
		{"sh -c '" + open + "'; exit 0", shell},
	} {
		err := process.Smoke(context.Background(), scenario.Program("x", "/bin/sh", "-c", c.command), process.DefaultTimeout)
		if err == nil || !regexp.MustCompile("^"+form+regexp.QuoteMeta(c.want)+"$").MatchString(err.Error()) {
			t.Errorf("%s: got %v", c.command, err)
		}
	}
	err := process.Smoke(context.Background(), scenario.Missing("x", "no compiler"), process.DefaultTimeout)
	if fmt.Sprint(err) != "no compiler" {
		t.Errorf("a peer that is missing: got %v, want no compiler", err)
	}
}

// A peer does not outlive the runner, even if the peer waits forever and the runner is killed.
func TestPeersEndWithTheRunner(t *testing.T) {
	if reexec.Name() == t.Name() {
		self := runner(t)
		hang := shellPeer(t, `recv) echo $$ > new; mv new pid; exec sleep 1000;;`)
		Run(context.Background(), []scenario.Case{onStream(mustParse(t, passOne), self, hang)}, nil, Options{Timeout: time.Hour})
		return
	}
	dir := t.TempDir()
	cmd := reexec.TestCommand(t)
	cmd.Dir = dir
	fdtest.Must(t, cmd.Start())
	file := filepath.Join(dir, "pid")
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	text, err := os.ReadFile(file)
	fdtest.Must(t, err)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || unix.Kill(pid, 0) != nil {
		t.Fatalf("it is not there: %s", text)
	}
	fdtest.Must(t, cmd.Process.Signal(unix.SIGKILL))
	// Until Wait it is a zombie, as in a container whose init does not reap.
	fdtest.Must(t, unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	waitGone(t, file)
	_ = cmd.Wait() // it was killed
}
