package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/raw"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// deadline is what a peer that says nothing is given here.
const deadline = 300 * time.Millisecond

// script is a peer in sh: what it does for each verb that is not hello.
func script(t *testing.T, verbs string) *scenario.Peer {
	t.Helper()
	p := scenario.Program("x", "/bin/sh", "-c", `
		while read -r verb rest; do case $verb in
		hello) echo "ok name=x can=stream,dgram,seqpacket,multi";;
		`+verbs+`
		use|end|close) echo ok;;
		*) echo unsupported;;
		esac; done`)
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// inside is a peer in this process with a library of the test's own.
func inside(t *testing.T, open func(sock int) peer.Socket) *scenario.Peer {
	t.Helper()
	p := scenario.InProcess("x", func(in io.Reader, out io.Writer) error {
		return peer.Serve(peer.Library{Name: "x", Version: "1", Can: "stream,dgram,seqpacket,multi,flags",
			Open: func(sock int) (peer.Socket, error) { return open(sock), nil }}, in, out)
	})
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// mute sends nothing, and says that it did, or what err says.
type mute struct{ err error }

func (m mute) Send(peer.Message) (int, error)        { return 1, m.err }
func (m mute) Recv(peer.Room) (peer.Received, error) { return peer.Received{}, peer.ErrUnsupported }

func runner(t *testing.T) *scenario.Peer {
	t.Helper()
	p, err := process.Runner()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settled fails the test if descriptors or children are left when it ends.
func settled(t *testing.T) {
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

// children are the processes that this one has started and not reaped.
func children(t *testing.T) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may have spaces.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if parent, _ := strconv.Atoi(fields[1]); parent == os.Getpid() {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// playBoth plays a case of a liar, and then one of two peers that are right, and
// returns what came of the first. The second must pass. A timeout of 0 is for those
// who answer.
func playBoth(t *testing.T, liar scenario.Case, timeout time.Duration) scenario.Result {
	t.Helper()
	self := runner(t)
	settled(t)
	right := scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: self, B: self}
	o := Run(context.Background(), []scenario.Case{liar, right}, nil, Options{Timeout: timeout})
	if len(o.Results) != 2 || o.Results[1].Verdict != scenario.Pass {
		t.Fatalf("the run does not go on: %+v", o.Results)
	}
	return o.Results[0]
}

func finding(t *testing.T, r scenario.Result) string {
	t.Helper()
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.String())
	}
	if r.Verdict != scenario.Fail {
		t.Errorf("the verdict is %s (%s)", r.Verdict, r.Why)
	}
	return strings.Join(list, "\n")
}

// What a peer says and what it does to its own process, when told to receive.
func TestContractBreaches(t *testing.T) {
	long := strings.Repeat("a", contract.MaxLine+1)
	// A shell closes nothing.
	const kept = "leak@x: bsock, as 3, is still open after the end of the case"
	for _, c := range []struct{ name, verbs, want string }{
		{"an empty line", `recv) echo;;`, `contract@x: not text: ""`},
		{"binary", `recv) printf '\001\n';;`, `contract@x: not text: "\x01"`},
		{"another language", `recv) echo yes;;`, `contract@x: neither ok nor err: "yes"`},
		{"two spaces", `recv) echo "ok  n=1";;`, `contract@x: two spaces in "ok  n=1"`},
		{"no field", `recv) echo ok n=1 payload=00;;`, `contract@x: no fds= in the answer to recv: "ok n=1 payload=00"`},
		{"closed in the middle", `recv) echo ok n=1 payload=00 fds=closed,12;;`,
			`contract@x: closed or closed:N ends the list: "ok n=1 payload=00 fds=closed,12"`},
		{"a line too long", `recv) printf '%s\n' ` + long + `;;`,
			`contract@x: a line longer than 16384 bytes: "` + strings.Repeat("a", 200) + `"…`},
		{"unsupported where it must not be", `use) echo unsupported;;`, `contract@x: answered "unsupported" to "use sock=3 fds=-"`},
		{"it ends", `recv) exit 0;;`, `crash@x: the peer ended: exit status 0`},
		{"it ends with a status", `recv) echo woe >&2; exit 7;;`, `crash@x: the peer ended: exit status 7; standard error: woe`},
		{"it ends by a signal", `recv) kill -9 $$;;`, `crash@x: the peer ended: signal: killed`},
		{"it ends in the middle", `recv) printf 'ok n='; exit 3;;`, `crash@x: the peer ended in the middle of an answer, "ok n=": exit status 3`},
		{"it ends before the case", `use) exit 7;;`, `crash@x: the peer ended: exit status 7`},
		{"a number that is not open", `recv) echo ok n=1 payload=00 fds=99;;`, "file@x: 99 is not open: no such file or directory\n" + kept},
		{"one number twice", `recv) echo ok n=1 payload=00 fds=99,99;;`, "file@x: said that it received 99, which it had already\n" +
			`answer@x: answered "ok n=1 payload=00 fds=99,99"` + "\nnot ok n=1 payload=00 fds=a (2 descriptors)\n" + kept},
		{"a number it has already", `recv) echo ok n=1 payload=00 fds=3;;`, "file@x: said that it received 3, which it had already\n" +
			"file@x: 3 is not the open file description of a\n" + kept},
		{"numbers that it has already", `recv) echo ok n=1 payload=00 fds=0,1,2,3,0;;`, "file@x: said that it received 0, which it had already\n" +
			"file@x: said that it received 1, which it had already\nfile@x: said that it received 2, which it had already\n" +
			"file@x: 2 more are not what the answer says\n" +
			`answer@x: answered "ok n=1 payload=00 fds=0,1,2,3,0"` + "\nnot ok n=1 payload=00 fds=a (5 descriptors)\n" + kept},
		{"unsupported what it can", `recv) echo unsupported;;`,
			`contract@x: answered unsupported to "recv bytes=1 fds=1", which is what its can= says` + "\n" + kept},
	} {
		t.Run(c.name, func(t *testing.T) {
			liar := script(t, c.verbs)
			got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// The second answer is noticed when the next command is said, or is taken for the
// answer to it.
func TestTwoAnswers(t *testing.T) {
	liar := script(t, `use) echo ok; echo ok;;`)
	r := playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0)
	if got := finding(t, r); len(r.Findings) != 1 || r.Findings[0].Key() != "contract@x" {
		t.Errorf("got %s", got)
	}
}

func TestStandardErrorIsBounded(t *testing.T) {
	liar := script(t, `recv) i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1;;`)
	got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
	if len(got) > 5000 || !strings.HasSuffix(got, "line 1998\nline 1999") {
		t.Errorf("got %d bytes: %s", len(got), got)
	}
}

// What a peer writes for people does nothing to their terminal.
func TestStandardErrorIsText(t *testing.T) {
	liar := script(t, `recv) printf 'woe \033[2J\n\303\251\377' >&2; exit 1;;`)
	got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
	if want := "crash@x: the peer ended: exit status 1; standard error: woe \\x1b[2J\né\\xff"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A peer that ends behind its answer has closed nothing of its own accord.
func TestEndBehindTheAnswer(t *testing.T) {
	liar := script(t, `recv) echo err EIO; exit 0;;`)
	got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
	if strings.Contains(got, "is closed") || !strings.HasSuffix(got, "\ncrash@x: the peer ended: exit status 0") {
		t.Errorf("got %s", got)
	}
}

// What a peer leaves behind in its group ends with it.
func TestChildrenEndWithThePeer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	liar := script(t, `recv) sleep 1000 & echo $! > `+file+`; exit 7;;`)
	got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
	if got != "crash@x: the peer ended: exit status 7" {
		t.Errorf("got %s", got)
	}
	waitGone(t, file)
}

// waitGone waits until the process whose number is in the file has ended.
func waitGone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A child that left the group and holds the peer's output open is out of reach,
// and keeps nobody waiting.
func TestChildThatHoldsTheOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	t.Cleanup(func() {
		text, err := os.ReadFile(file)
		if err != nil {
			return // it was not started
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || unix.Kill(pid, unix.SIGKILL) != nil {
			t.Errorf("it was not there any more: %s", text)
		}
		waitGone(t, file)
	})
	liar := script(t, `recv) setsid sh -c 'echo $$ > `+file+`.new; mv `+file+`.new `+file+`; exec sleep 1000' &
		until [ -e `+file+` ]; do sleep 0.01; done
		exit 7;;`)
	got := finding(t, playBoth(t, scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: runner(t), B: liar}, 0))
	if !strings.HasPrefix(got, "crash@x: the peer ended: exit status 7") {
		t.Errorf("got %s", got)
	}
}

// seizerArgument makes the test program trace its parent, and never wait for it.
const seizerArgument = "scm-test-seizer"

func init() {
	if len(os.Args) != 3 || os.Args[1] != seizerArgument {
		return
	}
	runtime.LockOSThread() // the tracer is a thread
	said := "seized"
	if _, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(os.Getppid()), 0, 0, 0, 0); e != 0 {
		said = e.Error()
	}
	if os.WriteFile(os.Args[2]+".new", []byte(said+"\n"), 0o600) != nil || os.Rename(os.Args[2]+".new", os.Args[2]) != nil {
		os.Exit(1)
	}
	time.Sleep(time.Hour)
	os.Exit(0)
}

// traced is a peer whose child traces it: the runner does not learn that the peer has
// ended before the tracer waits for it, or ends. A signal would stop the peer: once it
// is traced it starts nothing, so that no child of it ends.
func traced(t *testing.T) *scenario.Peer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seized")
	p := script(t, `use) "`+os.Args[0]+`" `+seizerArgument+" "+file+` <&- >&- 2>&- & until [ -e `+file+` ]; do :; done
		read -r said < `+file+`
		[ "$said" = seized ] || exit 9
		echo ok;;`)
	t.Cleanup(func() {
		if text, err := os.ReadFile(file); err == nil && string(text) != "seized\n" {
			t.Logf("ptrace: %s", text)
		}
	})
	return p
}

// killed has the receiver killed.
const killed = rule + "on stream\nfiles a=pipe-r\nA> send payload=00 fds=a\nA< ok n=1\nR> kill B SIGKILL\n"

// A peer that is killed, and is not seen to end, is a peer that does not answer.
func TestKilledPeerThatIsTraced(t *testing.T) {
	s := mustParse(t, killed)
	r := playBoth(t, scenario.Case{Scenario: s, Type: "stream", A: runner(t), B: traced(t)}, deadline)
	if got := finding(t, r); strings.Contains(got, "exit status 9") {
		t.Skip("no process may trace its parent here")
	} else if got != "hang@x: it does not end after SIGKILL: no answer in time" {
		t.Errorf("got %s", got)
	}
}

// A run that is cut short does not wait for it either.
func TestKilledPeerThatIsTracedIsCutShort(t *testing.T) {
	self, liar := runner(t), traced(t)
	settled(t)
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	ended := make(chan struct{})
	var watch sync.WaitGroup
	defer watch.Wait()
	defer close(ended)
	watch.Go(func() { // once the peer is dead
		for {
			for _, pid := range children(t) {
				if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(text), ") Z ") {
					cut()
				}
			}
			select {
			case <-ended:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	s := mustParse(t, killed)
	o := Run(ctx, []scenario.Case{{Scenario: s, Type: "stream", A: self, B: liar}}, nil, Options{Timeout: time.Hour})
	switch {
	case len(o.Results) == 1 && strings.Contains(fmt.Sprint(o.Results[0].Findings), "exit status 9"):
		t.Skip("no process may trace its parent here")
	case len(o.Results) != 0 || !errors.Is(o.Cut, context.Canceled):
		t.Errorf("got %+v", o)
	}
}

// A peer that the runner's own signal ends, or stops, has done nothing wrong.
func TestEndedByTheRunnersSignal(t *testing.T) {
	const (
		waits   = "B>& recv bytes=1 fds=0\nR> blocked B\n"
		answers = "B<& ok n=0 payload=- fds=-\n"
		asked   = "B> recv bytes=1 fds=0\nB< err\n"
		ended   = "not run: x: ended by the runner's own signal: "
	)
	for _, c := range []struct{ name, verbs, text, want string }{
		{"before a command", "", "R> kill B SIGTERM\n" + asked, ended + "signal: terminated"},
		{"while it waits", "recv) sleep 1000;;", waits + "R> kill B SIGUSR1\n" + answers, ended + "signal: user defined signal 1"},
		{"at the end", "", "A> send payload=00 fds=-\nA< ok n=1\nR> kill B SIGALRM\n", ended + "signal: alarm clock"},
		{"SIGSTOP before", "", "R> kill B SIGSTOP\nR> kill B SIGTERM\nR> kill B SIGCONT\n" + asked, ended + "signal: terminated"},
		{"it catches the signal", "use) trap '' TERM; echo ok;; recv) exit 143;;", "R> kill B SIGTERM\n" + asked, ended + "exit status 143"},
		{"it ends by itself", "use) trap '' TERM; echo ok;; recv) exit 1;;", "R> kill B SIGTERM\n" + asked, "fail: crash@x: the peer ended: exit status 1"},
		{"stopped", "recv) sleep 1000;;", waits + "R> kill B SIGSTOP\n" + answers, "not run: x: stopped by the runner's own SIGSTOP"},
		{"stopped and continued", "recv) sleep 1000;;", waits + "R> kill B SIGSTOP\nR> kill B SIGCONT\n" + answers, "fail: hang@x: no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			patience := time.Minute
			if strings.Contains(c.name, "stopped") {
				patience = deadline // it is waited out
			}
			r := playBoth(t, onStream(mustParse(t, rule+"on stream\n"+c.text), runner(t), script(t, c.verbs)), patience)
			got := string(r.Verdict) + ": " + r.Why
			for _, f := range r.Findings {
				got += f.String()
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// The sender says that it sent. The runner, opposite, waits in vain, is woken, and
// is not to blame.
func TestNothingWasSent(t *testing.T) {
	for _, socketType := range contract.SocketTypes {
		t.Run(socketType, func(t *testing.T) {
			liar := inside(t, func(int) peer.Socket { return mute{} })
			s := mustParse(t, strings.Replace(passOne, "on stream", "on "+socketType, 1))
			got := finding(t, playBoth(t, scenario.Case{Scenario: s, Type: socketType, A: liar, B: runner(t)}, deadline))
			if got != "answer@x: what it said that it sent did not come" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A peer in this process that never answers cannot be killed, and keeps nobody waiting.
func TestHangInside(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	liar := inside(t, func(int) peer.Socket { return sleeper{release} })
	self := runner(t)
	o := Run(context.Background(), []scenario.Case{
		{Scenario: mustParse(t, passOne), Type: "stream", A: self, B: liar},
		{Scenario: mustParse(t, passOne), Type: "stream", A: self, B: self},
	}, nil, Options{Timeout: deadline})
	if got := finding(t, o.Results[0]); got != "hang@x: no answer in time: it does not end" {
		t.Errorf("got %s", got)
	}
	if o.Results[1].Verdict != scenario.Pass {
		t.Errorf("the run does not go on: %+v", o.Results[1])
	}
}

type sleeper struct{ until chan struct{} }

func (s sleeper) Send(peer.Message) (int, error) { return 0, peer.ErrUnsupported }

func (s sleeper) Recv(peer.Room) (peer.Received, error) {
	<-s.until
	return peer.Received{}, peer.ErrUnsupported
}

// keeper takes one descriptor more than it is asked to and closes it with the
// case: it leaks, and its numbers are used again.
type keeper struct {
	sock int
	kept []int
}

func (k *keeper) Send(peer.Message) (int, error) { return 0, peer.ErrUnsupported }

func (k *keeper) Recv(r peer.Room) (got peer.Received, err error) {
	n, fds, _, err := raw.Recv(k.sock, r.Buffers, r.FDs+1, 0)
	if err != nil {
		return got, err
	}
	if len(fds) > r.FDs {
		k.kept = append(k.kept, fds[:len(fds)-r.FDs]...)
		fds = fds[len(fds)-r.FDs:]
	}
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, nil
}

func (k *keeper) Done() {
	for _, fd := range k.kept {
		_ = unix.Close(fd)
	}
}

// A number that was leaked in one case and closed with it may be a file's in the
// next, which is no fault.
func TestLeakIsOfOneCase(t *testing.T) {
	liar := inside(t, func(sock int) peer.Socket { return &keeper{sock: sock} })
	self := runner(t)
	settled(t)
	leaky := mustParse(t, rule+"on stream\nfiles a=pipe-r b=pipe-r\n"+
		"A> send payload=00 fds=a,b\nA< ok n=1\nB> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=b\n")
	right := mustParse(t, passOne)
	var cases []scenario.Case
	for range 3 {
		cases = append(cases, scenario.Case{Scenario: leaky, Type: "stream", A: self, B: liar}, scenario.Case{Scenario: right, Type: "stream", A: self, B: liar})
	}
	for i, r := range Run(context.Background(), cases, nil, Options{}).Results {
		if i%2 == 1 {
			if r.Verdict != scenario.Pass {
				t.Errorf("case %d: %s, %v", i, r.Verdict, r.Findings)
			}
			continue
		}
		if len(r.Findings) != 1 || r.Findings[0].Key() != "leak@x" {
			t.Errorf("case %d: %s, %v", i, r.Verdict, r.Findings)
		}
	}
}

// A peer with a garbage collector has time to close what it leaks, and no more than that.
func TestLeakOfACollector(t *testing.T) {
	liar := script(t, `recv) echo ok n=1 payload=00 fds=-;;`)
	liar.Command[2] = strings.Replace(liar.Command[2], "ok name=x", "ok name=x gc=yes", 1)
	if err := process.Probe(liar, process.DefaultTimeout); err != nil || !liar.Hello.GC {
		t.Fatal(err)
	}
	s := mustParse(t, strings.Replace(passOne, "payload=00 fds=a\n", "payload=00 fds=-\n", 1))
	got := finding(t, playBoth(t, scenario.Case{Scenario: s, Type: "stream", A: runner(t), B: liar}, deadline))
	if !strings.Contains(got, "leak@x: bsock, as 3, is still open after the end of the case") {
		t.Errorf("got %s", got)
	}
}

// A peer with a garbage collector may close what close names before its answer, as any
// other. The runner reports no leak if the collector closes it a little later.
func TestCloseOfACollector(t *testing.T) {
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA> close fds=a\nA< ok\nR> drop a\nR> eof a\n")
	for name, verb := range map[string]string{
		"before": `close) exec 4>&-; echo ok;;`,
		"after":  `close) echo ok; sleep 0.1; exec 4>&-;;`,
	} {
		p := script(t, verb+` end) exec 3>&-; echo ok;;`)
		p.Command[2] = strings.Replace(p.Command[2], "ok name=x", "ok name=x gc=yes", 1)
		if err := process.Probe(p, process.DefaultTimeout); err != nil || !p.Hello.GC {
			t.Fatal(err)
		}
		if r := playBoth(t, onStream(s, p, runner(t)), 0); r.Verdict != scenario.Pass {
			t.Errorf("%s its answer: %s %s%v", name, r.Verdict, r.Why, r.Findings)
		}
	}
}

// At the end of a case a peer gives back what it was given, and what is found then
// counts, whatever came before.
func TestLeakAtTheEnd(t *testing.T) {
	const leak = "leak@x: asock, as 3, is still open after the end of the case\n" +
		"leak@x: a, as 4, is still open after the end of the case"
	s := mustParse(t, rule+"on stream\nfiles a=pipe-r\nA> send payload=00 fds=-\nA< ok n=1\n")
	for verbs, why := range map[string]string{
		`send) echo ok n=1;;`:      "",
		`send) echo unsupported;;`: "x: answered unsupported",
	} {
		r := playBoth(t, scenario.Case{Scenario: s, Type: "stream", A: script(t, verbs), B: runner(t)}, 0)
		if got := finding(t, r); got != leak || r.Why != why {
			t.Errorf("%s: got %s, %s", verbs, got, r.Why)
		}
	}
}

// When a case ends early, whoever was left waiting for a message has done no wrong.
func TestWaiterIsNotToBlame(t *testing.T) {
	s := mustParse(t, rule+"on stream dgram seqpacket\nfiles a=pipe-r\n"+
		"B>& recv bytes=5000 fds=1\nA> send payload=@5000 fds=a\nA< ok n=5000\nB<& ok n=5000 payload=@5000 fds=a\n")
	refuser := inside(t, func(int) peer.Socket { return mute{peer.ErrUnsupported} })
	for _, socketType := range contract.SocketTypes {
		r := playBoth(t, scenario.Case{Scenario: s, Type: socketType, A: refuser, B: runner(t)}, 0)
		if r.Verdict != scenario.Unsupported || r.Why != "x: answered unsupported" || len(r.Findings) > 0 {
			t.Errorf("%s: %s, %s, %v", socketType, r.Verdict, r.Why, r.Findings)
		}
	}
}

// A run that is cut short waits for nobody. The case that was being played has no
// result.
func TestRunIsCutShort(t *testing.T) {
	self := runner(t)
	file := filepath.Join(t.TempDir(), "hangs")
	liar := script(t, `recv) : > `+file+`; sleep 1000;;`)
	settled(t)
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
		t.Errorf("got %+v", o)
	}
}

// Nor does the runner wait for a peer to sleep that does not.
func TestBlockedIsCutShort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "asked")
	self, liar := runner(t), script(t, `recv) : > `+file+`; while :; do :; done;;`)
	settled(t)
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	var watch sync.WaitGroup
	defer watch.Wait()
	watch.Go(func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(file); err == nil {
				cut()
			}
			time.Sleep(time.Millisecond)
		}
	})
	text := strings.Replace(strings.Replace(passOne, "B> ", "B>& ", 1), "B< ", "R> blocked B\nB<& ", 1)
	o := Run(ctx, []scenario.Case{{Scenario: mustParse(t, text), Type: "stream", A: self, B: liar}}, nil, Options{Timeout: time.Hour})
	cut()
	if len(o.Results) != 0 || !errors.Is(o.Cut, context.Canceled) {
		t.Errorf("got %+v", o)
	}
}

// A probe that is cut short leaves nobody running.
func TestProbeIsCutShort(t *testing.T) {
	settled(t)
	ctx, cut := context.WithCancel(context.Background())
	cut()
	if err := process.ProbeContext(ctx, scenario.Program("x", "sleep", "1000"), time.Hour); !errors.Is(err, process.ErrCut) {
		t.Errorf("got %v", err)
	}
}

func TestProbe(t *testing.T) {
	settled(t)
	for _, c := range []struct{ name, command, want string }{
		{"no such program", "/nonexistent/peer", "fork/exec /nonexistent/peer: no such file or directory"},
		{"it ends", "exit 3", "the peer ended: exit status 3"},
		{"it complains", "echo no licence >&2; exit 3", "the peer ended: exit status 3; standard error: no licence"},
		{"another language", "read -r a; echo Welcome; cat", `not an answer to hello: "Welcome"`},
		{"binary", `read -r a; printf '\001\n'; cat`, `not text: "\x01"`},
		{"it knows everything", "read -r a; echo ok name=x can=stream; read -r a; echo ok; cat", `answered "ok" to an unknown command, not unsupported`},
		{"it knows the word that some ask for", "while read -r a; do case $a in hello) echo ok name=x can=stream;; levitate*) echo unsupported;; *) echo ok;; esac; done",
			`answered "ok" to an unknown command, not unsupported`},
		{"a name of two words", "read -r a; echo ok name=two words can=stream; cat", `not an answer to hello: "ok name=two words can=stream"`},
		{"a name that has no end", "read -r a; printf 'ok name=%065d can=stream\\n' 0; cat", "name= is longer than 64 bytes"},
		{"it ends too soon", "read -r a; echo ok name=x can=stream; exit 0", "the peer ended: exit status 0"},
		{"it does not answer", "exec sleep 1000", "no answer in time"},
	} {
		command := []string{"/bin/sh", "-c", c.command}
		if strings.HasPrefix(c.command, "/") {
			command = []string{c.command}
		}
		timeout := process.DefaultTimeout
		if strings.Contains(c.command, "sleep") {
			timeout = deadline
		}
		if err := process.Probe(scenario.Program("x", command...), timeout); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	if err := process.Probe(scenario.Missing("x", "no compiler"), process.DefaultTimeout); err == nil || err.Error() != "no compiler" {
		t.Errorf("got %v", err)
	}
}
