package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
)

// shellPeer returns a peer in sh that runs verbs, the branches of a case statement, for its commands.
func shellPeer(t *testing.T, verbs string) *scenario.Peer {
	t.Helper()
	p := scenario.Program("x", "/bin/sh", "-c", `
		while read -r verb rest; do case $verb in
		hello) echo "ok name=x can=stream,dgram,seqpacket,multi";;
		`+verbs+`
		use|end|close) echo ok;;
		*) echo unsupported;;
		esac; done`)
	fdtest.Must(t, process.Probe(p, process.DefaultTimeout))
	return p
}

func runner(t *testing.T) *scenario.Peer {
	t.Helper()
	p, err := process.Runner()
	fdtest.Must(t, err)
	return p
}

// checkNothingLeft fails the test if descriptors or children are left when it ends.
func checkNothingLeft(t *testing.T) {
	t.Helper()
	before := fdtest.Take()
	t.Cleanup(func() {
		for _, left := range before.NewSince() {
			t.Errorf("left open: %s", left)
		}
		for _, pid := range children(t) {
			t.Errorf("left running: %d", pid)
		}
	})
}

// children returns the processes that this one has started and not reaped, and all of the faulty peer.
func children(t *testing.T) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	fdtest.Must(t, err)
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		exe, err := os.Readlink(filepath.Dir(name) + "/exe")
		// The name, in brackets, may have spaces.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if parent, _ := strconv.Atoi(fields[1]); parent == os.Getpid() || err == nil && exe == faultyProgram {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// runBoth runs a case with a peer that misbehaves, and then a case that must pass. It returns the
// result of the first. A timeout of 0 is for peers that answer.
func runBoth(t *testing.T, liar scenario.Case, timeout time.Duration) scenario.Result {
	t.Helper()
	self := runner(t)
	checkNothingLeft(t)
	right := scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: self, B: self}
	o := Run(context.Background(), []scenario.Case{liar, right}, nil, Options{Timeout: timeout})
	if len(o.Results) != 2 || o.Results[1].Verdict != scenario.Pass {
		t.Fatalf("got %+v, want two results and a pass after the case with %s", o.Results, liar.Name())
	}
	return o.Results[0]
}

// findings returns the findings of a result, one on each line.
func findings(r scenario.Result) string {
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.String())
	}
	return strings.Join(list, "\n")
}

// outcome returns the verdict, the reason and the findings.
func outcome(r scenario.Result) string {
	return strings.TrimSuffix(string(r.Verdict)+": "+r.Why+findings(r), ": ")
}

func finding(t *testing.T, r scenario.Result) string {
	t.Helper()
	if r.Verdict != scenario.Fail {
		t.Errorf("%s: got %s, want fail", r.Name, outcome(r))
	}
	return findings(r)
}

// However a peer misbehaves, the finding names it, the run goes on, and no process of its group is
// left.
func TestPeersThatMisbehave(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	for _, c := range []struct{ name, verbs, want string }{
		{"it exits", `recv) echo woe >&2; exit 7;;`, "fail: crash@x: the peer ended: exit status 7; standard error: woe"},
		{"it hangs", `recv) while :; do sleep 1000; done;;`, "fail: hang@x: no answer in time"},
		{"it leaves a child in its group", `recv) sleep 1000 & echo $! >` + file + `; exit 7;;`, "fail: crash@x: the peer ended: exit status 7"},
		{"it prints 10 MiB", `recv) head -c 10485760 /dev/zero | tr '\0' a; echo;;`,
			`fail: contract@x: a line longer than 16384 bytes: "` + strings.Repeat("a", 200) + `"…`},
		{"it prints 10 MiB of errors", `recv) head -c 10485760 /dev/zero | tr '\0' a >&2; exit 1;;`,
			"fail: crash@x: the peer ended: exit status 1; standard error: " + strings.Repeat("a", 4096)},
		{"it closes its standard output", `recv) exec >&-; sleep 1000;;`, "fail: crash@x: the peer closed its standard output"},
		{"binary", `recv) printf '\001\n';;`, `fail: contract@x: not text: "\x01"`},
		{"it ends by a signal", `recv) kill -9 $$;;`, `fail: crash@x: the peer ended: signal: killed`},
		{"it ends in the middle", `recv) printf 'ok n='; exit 3;;`, `fail: crash@x: the peer ended in the middle of an answer, "ok n=": exit status 3`},
		// Standard error is made harmless to the user's terminal.
		{"it paints its errors", `recv) printf 'woe \033[2J\n\303\251\377' >&2; exit 1;;`,
			"fail: crash@x: the peer ended: exit status 1; standard error: woe \\x1b[2J\né\\xff"},
		// It has closed nothing: it has ended.
		{"it ends right after its answer", `recv) echo ok n=1 payload=00 fds=-; exit 0;;`,
			"fail: answer@x: answered \"ok n=1 payload=00 fds=-\"\nexpected ok n=1 payload=00 fds=a (0 descriptors, and not 1)\ncrash@x: the peer ended: exit status 0"},
		// The process that answers is a child of the one that was started, which has the descriptors.
		{"it is another process", `recv) echo ok n=1 payload=00 fds=9;;`,
			"fail: file@x: 9 is not open: no such file or directory\nleak@x: bsock, as 3, is still open after the end of the case"},
		// It has until the time limit to close what leaks.
		{"it has a garbage collector", `recv) echo err EIO;;`,
			"fail: answer@x: answered \"err EIO\"\nexpected ok n=1 payload=00 fds=a (not ok)\n" +
				"leak@x: bsock, as 3, is still open after the end of the case"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, timeout := shellPeer(t, c.verbs), time.Duration(0)
			switch c.name {
			case "it is another process":
				p.Command = []string{"/bin/sh", "-c", p.Command[2] + "; true", "sh"}
			case "it has a garbage collector":
				p.Command[2], p.Hello.GC = strings.Replace(p.Command[2], "ok name=x", "ok name=x gc=yes", 1), true
				timeout = deadline
			case "it hangs":
				timeout = deadline
			}
			if got := outcome(runBoth(t, onStream(mustParse(t, passOne), runner(t), p), timeout)); got != c.want {
				t.Errorf("got %.300s\nwant %.300s", got, c.want)
			}
		})
	}
	waitGone(t, file)
	gone := shellPeer(t, "")
	gone.Command = []string{"/nonexistent/peer"}
	r := runBoth(t, onStream(mustParse(t, passOne), runner(t), gone), 0)
	if got, want := outcome(r), "not run: x: fork/exec /nonexistent/peer: no such file or directory"; got != want || !r.Broken {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// waitGone waits until the process whose PID is in the file has ended.
func waitGone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	fdtest.Must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	fdtest.Must(t, err)
	fdtest.WaitEnded(t, pid)
}

// A case is "not run" if the runner's own signal ends or stops a peer.
func TestEndedByTheRunnersSignal(t *testing.T) {
	const (
		waits   = "B>& recv bytes=1 fds=0\nR> blocked B\n"
		answers = "B<& ok n=0 payload=- fds=-\n"
		asked   = "B> recv bytes=1 fds=0\nB< err\n"
		ended   = "not run: x: ended by the runner's own signal: "
	)
	for _, c := range []struct{ name, verbs, text, want string }{
		{"at the end", "", "A> send payload=00 fds=-\nA< ok n=1\nR> kill B SIGALRM\n", ended + "signal: alarm clock"},
		{"it catches the signal", "use) trap '' TERM; echo ok;; recv) exit 143;;", "R> kill B SIGTERM\n" + asked, ended + "exit status 143"},
		{"it ends by itself", "use) trap '' TERM; echo ok;; recv) exit 1;;", "R> kill B SIGTERM\n" + asked, "fail: crash@x: the peer ended: exit status 1"},
		{"stopped", "recv) sleep 1000;;", waits + "R> kill B SIGSTOP\n" + answers, "not run: x: stopped by the runner's own SIGSTOP"},
		{"stopped and continued", "recv) sleep 1000;;", waits + "R> kill B SIGSTOP\nR> kill B SIGCONT\n" + answers, "fail: hang@x: no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			timeLimit := time.Minute
			if strings.Contains(c.name, "stopped") {
				timeLimit = deadline // it is waited out
			}
			r := runBoth(t, onStream(mustParse(t, rule+"on stream\n"+c.text), runner(t), shellPeer(t, c.verbs)), timeLimit)
			if got := outcome(r); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// A run that is cut short does not wait for a peer. The case that was running has no result.
func TestRunIsCutShort(t *testing.T) {
	self := runner(t)
	file := filepath.Join(t.TempDir(), "hangs")
	liar := shellPeer(t, `recv) : > `+file+`; sleep 1000;;`)
	checkNothingLeft(t)
	ctx, cut := context.WithCancelCause(context.Background())
	go func() {
		for {
			if _, err := os.Stat(file); err == nil {
				cut(errors.New("enough"))
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	s := mustParse(t, passOne)
	cases := []scenario.Case{onStream(s, self, self), onStream(s, self, liar), onStream(s, liar, self)}
	o := Run(ctx, cases, nil, Options{Timeout: time.Hour})
	if len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass || o.Cut == nil || o.Cut.Error() != "enough" {
		t.Errorf("got %+v, want one case that passed, and a run that is cut short", o)
	}
}

// A probe that is cut short leaves no process running.
func TestProbeIsCutShort(t *testing.T) {
	checkNothingLeft(t)
	ctx, cut := context.WithCancel(context.Background())
	cut()
	if err := process.ProbeContext(ctx, scenario.Program("x", "sleep", "1000"), time.Hour); !errors.Is(err, process.ErrCut) {
		t.Errorf("after the end of the context: got %v, want %v", err, process.ErrCut)
	}
}

func TestProbe(t *testing.T) {
	checkNothingLeft(t)
	unknown := regexp.MustCompile(`"[a-z2-7]{26} height=3"`) // the word is random
	for _, c := range []struct{ name, command, want string }{
		{"no such program", "/nonexistent/peer", "fork/exec /nonexistent/peer: no such file or directory"},
		{"it ends", "exit 3", "the peer ended: exit status 3"},
		{"it complains", "echo no licence >&2; exit 3", "the peer ended: exit status 3; standard error: no licence"},
		{"another language", "read -r a; echo Welcome; cat", `not an answer to hello: "Welcome"`},
		{"binary", `read -r a; printf '\001\n'; cat`, `not text: "\x01"`},
		{"it knows everything", "read -r a; echo ok name=x can=stream; read -r a; echo ok; cat", `answered "ok" to "WORD height=3", an unknown command, not unsupported`},
		{"it knows the word that some ask for", "while read -r a; do case $a in hello) echo ok name=x can=stream;; levitate*) echo unsupported;; *) echo ok;; esac; done",
			`answered "ok" to "WORD height=3", an unknown command, not unsupported`},
		{"a name of two words", "read -r a; echo ok name=two words can=stream; cat", `not an answer to hello: "ok name=two words can=stream"`},
		{"a name that has no end", "read -r a; printf 'ok name=%065d can=stream\\n' 0; cat", "name=" + strings.Repeat("0", 64) + "… is not a word of up to 64 bytes"},
		{"it ends too soon", "read -r a; echo ok name=x can=stream; exit 0", `"WORD height=3", an unknown command: the peer ended: exit status 0`},
		{"it answers only hello", "read -r a; echo ok name=x can=stream; exec sleep 1000", `"WORD height=3", an unknown command: no answer in time`},
		{"it does not answer", "exec sleep 1000", "no answer in time (1s): is standard output flushed after each line, or is the machine slow?"},
	} {
		command := []string{"/bin/sh", "-c", c.command}
		if strings.HasPrefix(c.command, "/") {
			command = []string{c.command}
		}
		timeout := process.DefaultTimeout
		if strings.Contains(c.command, "sleep") {
			timeout = deadline
		}
		err := process.Probe(scenario.Program("x", command...), timeout)
		if got := unknown.ReplaceAllString(fmt.Sprint(err), `"WORD height=3"`); got != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	err := process.Probe(scenario.Missing("x", "no compiler"), process.DefaultTimeout)
	if fmt.Sprint(err) != "no compiler" {
		t.Errorf("a peer that is missing: got %v, want no compiler", err)
	}
}
