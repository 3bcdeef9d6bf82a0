package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// A case that fails, and then does not, is flaky, and not passed. One that goes on
// failing has failed.
func TestRetries(t *testing.T) {
	self := runner(t)
	opened := 0
	moody := inside(t, func(int) peer.Socket {
		opened++
		if opened == 1 {
			return mute{} // which receives nothing
		}
		return mute{unix.EIO}
	})
	bad := script(t, `recv) exit 7;;`)
	bad.Name = "bad"
	settled(t)
	s := mustParse(t, passOne)
	once := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< err EIO\n")
	var told []scenario.Verdict
	o := Run(context.Background(), []scenario.Case{onStream(once, moody, self), onStream(s, self, bad), onStream(s, self, self)}, nil,
		Options{Retries: 3, Done: func(r scenario.Result) { told = append(told, r.Verdict) }})
	if !slices.Equal(told, []scenario.Verdict{scenario.Flaky, scenario.Fail, scenario.Pass}) {
		t.Errorf("got %v", told)
	}
	for i, want := range []struct {
		tries int
		why   string
		as    bool
	}{
		{2, "fail at first, and pass when it was played for the 2. time", false},
		{4, "", false},
		{0, "", true},
	} {
		r := o.Results[i]
		if r.Tries != want.tries || r.Why != want.why || r.Unexpected() == want.as {
			t.Errorf("%s: %+v", r.Name, r)
		}
	}
}

// A case that had no verdict when it was played again has not been as expected then.
func TestRetriesWithoutVerdict(t *testing.T) {
	self := runner(t)
	for _, c := range []struct {
		passes  int // at which time, or never
		verdict scenario.Verdict
		tries   int
		why     string
	}{
		{3, scenario.Flaky, 3, "fail at first, and pass when it was played for the 3. time"},
		{0, scenario.Fail, 4, ""},
	} {
		opened := 0
		moody := inside(t, func(int) peer.Socket {
			switch opened++; opened {
			case 1:
				return mute{} // which receives nothing
			case c.passes:
				return mute{unix.EIO}
			}
			return mute{peer.ErrUnsupported}
		})
		settled(t)
		s := mustParse(t, rule+"on stream\nA> send payload=00 fds=-\nA< err EIO\n")
		o := Run(context.Background(), []scenario.Case{onStream(s, moody, self)}, nil, Options{Retries: 3})
		if r := o.Results[0]; r.Verdict != c.verdict || r.Tries != c.tries || r.Why != c.why {
			t.Errorf("got %+v", r)
		}
	}
}

func TestFailFast(t *testing.T) {
	self := runner(t)
	bad := script(t, `recv) exit 7;;`)
	settled(t)
	s := mustParse(t, passOne)
	cases := []scenario.Case{onStream(s, self, self), onStream(s, self, bad), onStream(s, self, bad), onStream(s, self, bad)}
	o := Run(context.Background(), cases, nil, Options{FailFast: true})
	if len(o.Results) != 2 || o.Results[1].Verdict != scenario.Fail || !errors.Is(o.Cut, errFailFast) {
		t.Errorf("got %+v, %v", o.Results, o.Cut)
	}
	x, err := scenario.Expect([]scenario.Expectation{{Pattern: mustPattern(t, "**"), Check: scenario.CheckCrash, Peer: "x", Reason: "why"}}, scenario.KernelLinux, []*scenario.Scenario{s}, []*scenario.Peer{bad}, nil, self)
	if err != nil {
		t.Fatal(err)
	}
	if o := Run(context.Background(), cases, x, Options{FailFast: true}); len(o.Results) != len(cases) || o.Cut != nil {
		t.Errorf("what is expected ends the run: %d results, %v", len(o.Results), o.Cut)
	}
}

func mustPattern(t *testing.T, text string) scenario.Pattern {
	t.Helper()
	p, err := scenario.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whose doing something is does not depend on which other cases are played: what the sender
// does with the runner is found out.
func TestAttributionOfOneCase(t *testing.T) {
	self := runner(t)
	liar := inside(t, func(int) peer.Socket { return mute{} })
	right := script(t, `recv) echo err EAGAIN;;`)
	right.Name = "right"
	settled(t)
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

// Where it is expected that no answer comes, it is not waited for until the
// deadline; one that comes is heard.
func TestExpectedHangIsNotWaitedFor(t *testing.T) {
	self := runner(t)
	hang := script(t, `recv) exec sleep 1000;;`)
	settled(t)
	s := mustParse(t, passOne)
	play := func(p *scenario.Peer) scenario.Result {
		x, err := scenario.Expect([]scenario.Expectation{{Pattern: mustPattern(t, "**"), Check: scenario.CheckHang, Peer: "x", Reason: "why"}}, scenario.KernelLinux, []*scenario.Scenario{s}, []*scenario.Peer{p}, nil, self)
		if err != nil {
			t.Fatal(err)
		}
		return Run(context.Background(), []scenario.Case{onStream(s, self, p)}, x, Options{Timeout: time.Hour}).Results[0]
	}
	if r := play(hang); r.Verdict != scenario.Expected {
		t.Errorf("got %+v", r)
	}
	if r := play(script(t, `recv) i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo err EAGAIN;;`)); r.Verdict != scenario.Fail || r.Findings[0].Check != scenario.CheckAnswer {
		t.Errorf("got %+v", r)
	}
}

// A run removes what one that was killed has left, and nothing else.
func TestSweep(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	alive, err := newRunFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := alive.remove(); err != nil {
			t.Error(err)
		}
	}()
	names := map[string]bool{
		filepath.Base(alive.dir):                       true,
		fmt.Sprintf("scm-interop-%d-123", os.Getpid()): false, // of an earlier process with that number
		"scm-interop-files":                            true,
		"scm-interop-12x-1":                            true,
		"else-1-1":                                     true,
		"scm-interop-2-1":                              true, // others may write to it
		"scm-interop-2-2":                              os.Getuid() == 0,
	}
	for name := range names {
		if err := os.MkdirAll(filepath.Join(temp, name, "1"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(temp, name), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(temp, "scm-interop-2-1"), 0o777); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // another user's
		if err := os.Chown(filepath.Join(temp, "scm-interop-2-2"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(temp, "scm-interop-1-1")
	if err := os.Symlink("else-1-1", link); err != nil {
		t.Fatal(err)
	}
	other, err := newRunFolder(t.Context()) // the next run
	if err != nil {
		t.Fatal(err)
	}
	for name, stays := range names {
		if _, err := os.Stat(filepath.Join(temp, name, "1")); (err == nil) != stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := other.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(other.dir); err == nil {
		t.Errorf("%s stays", other.dir)
	}
}

// fill puts files into a folder as fast as it can, until it is told to stop. It
// returns when there are some.
func fill(dir string) (stop func()) {
	var ended atomic.Bool
	var made atomic.Int64
	var fillers sync.WaitGroup
	for n := range 3 {
		fillers.Go(func() {
			for i := 0; !ended.Load(); i++ {
				if os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%d", n, i)), nil, 0o666) == nil {
					made.Add(1)
				}
			}
		})
	}
	for made.Load() < 5000 {
		time.Sleep(time.Millisecond)
	}
	return func() {
		ended.Store(true)
		fillers.Wait()
	}
}

// A folder that somebody else fills meanwhile is left, and the removal ends.
func TestRemovalEnds(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, a *runFolder, dir string){
		"of a case": func(ctx context.Context, a *runFolder, dir string) { a.removeCase(ctx, dir) },
		"of a run that was killed": func(ctx context.Context, a *runFolder, dir string) {
			_ = a.lock.Close()
			sweep(ctx, filepath.Dir(a.dir))
		},
	} {
		t.Setenv("TMPDIR", t.TempDir())
		a, err := newRunFolder(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir, err := a.caseDir(&scenario.Scenario{})
		if err != nil {
			t.Fatal(err)
		}
		stop := fill(dir)
		done := make(chan struct{})
		go func() {
			defer close(done)
			ctx, cut := context.WithTimeout(t.Context(), time.Second)
			defer cut()
			remove(ctx, a, dir)
		}()
		select {
		case <-done:
		case <-time.After(process.DefaultTimeout):
			t.Errorf("the removal %s goes on", name)
		}
		stop()
		<-done
		_ = a.remove() // what is left, t.TempDir removes
	}
}

// A run that is cut short removes nothing of others any more.
func TestSweepIsCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "scm-interop-1-1", "1"), 0o711); err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(t.Context())
	cut()
	sweep(ctx, dir)
	if _, err := os.Stat(filepath.Join(dir, "scm-interop-1-1", "1")); err != nil {
		t.Error(err)
	}
}

// Only where a side plays as another user may others write to the folder of a case.
func TestCaseDir(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	a, err := newRunFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lines string
		want  os.FileMode
	}{
		{"", 0o700},
		{"user A uid=65534\n", 0o777},
		{"A> setuid uid=65534\nA< ok\n", 0o777},
	} {
		s := mustParse(t, "# A rule.\n# a source\non stream\nplay kernel\n"+c.lines+"A> mkdir path=d\nA< ok\n")
		dir, err := a.caseDir(s)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != c.want {
			t.Errorf("%q: got %v, %v", c.lines, st.Mode(), err)
		}
	}
	if err := a.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(a.dir); err == nil {
		t.Errorf("%s stays", a.dir)
	}
}

// A folder that could not be locked is none: another run would sweep it.
func TestNoLock(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	a, err := newRunFolder(t.Context())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %+v, %v", a, err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Runs that begin at the same time do not sweep each other away.
func TestSweepOfManyRuns(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var runs sync.WaitGroup
	for range 8 {
		runs.Go(func() {
			for range 200 {
				a, err := newRunFolder(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := a.caseDir(&scenario.Scenario{}); err != nil {
					t.Error(err)
				}
				if err := a.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runs.Wait()
}

func TestNoFolder(t *testing.T) {
	t.Setenv("TMPDIR", "/nonexistent")
	self := runner(t)
	if o := Run(context.Background(), []scenario.Case{onStream(mustParse(t, passOne), self, self)}, nil, Options{}); o.Broken == nil || len(o.Results) != 0 {
		t.Errorf("got %+v", o)
	}
}

// A peer is well, or it is told what is wrong with it.
func TestSmoke(t *testing.T) {
	settled(t)
	if err := process.Smoke(context.Background(), runner(t), process.DefaultTimeout); err != nil {
		t.Error(err)
	}
	const polite = `hello) echo ok name=x can=stream;; use) sock=${rest#sock=}; echo ok;; end) [ -z "$sock" ] || eval "exec ${sock%% *}>&-"; echo ok;; `
	for _, c := range []struct{ name, verbs, want string }{
		{"it is", polite + "*) echo unsupported;;", ""},
		{"it knows a flag that there is not", polite + "send) echo ok n=1;; *) echo unsupported;;",
			`answered "ok n=1" to "send payload=00 fds=- flags=sideways", not unsupported` + "\n" +
				`answered "ok n=1" to "send payload=0g fds=-", not unsupported`},
		{"it ends", polite + "send) exit 7;; *) echo unsupported;;", `"send payload=00 fds=- flags=sideways": the peer ended: exit status 7`},
		{"it does not begin", `hello) echo ok name=x can=stream;; end) echo no;; *) echo unsupported;;`, `answered "no" to "end", not ok`},
		{"it can what there is not", `hello) echo ok name=x can=stream,levitation;; use|end) echo ok;; *) echo unsupported;;`,
			"can=levitation is nothing that the contract knows"},
	} {
		p := scenario.Program("x", "/bin/sh", "-c", `while read -r verb rest; do case $verb in `+c.verbs+` esac; done; exit 0`)
		err := process.Smoke(context.Background(), p, process.DefaultTimeout)
		if got := fmt.Sprint(err); got != c.want && !(c.want == "" && err == nil) {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
	bad := scenario.Program("x", "/bin/sh", "-c", `while read -r verb rest; do case $verb in `+polite+` *) echo unsupported;; esac; done; exit 3`)
	if err := process.Smoke(context.Background(), bad, process.DefaultTimeout); err == nil || err.Error() != "at the end of its input: exit status 3" {
		t.Errorf("got %v", err)
	}
	open := scenario.Program("x", "/bin/sh", "-c", `while read -r verb rest; do case $verb in hello) echo ok name=x can=stream;; use|end) echo ok;; *) echo unsupported;; esac; done`)
	if err := process.Smoke(context.Background(), open, process.DefaultTimeout); err == nil || !strings.HasPrefix(err.Error(), `"end" leaves the socket open in process `) {
		t.Errorf("got %v", err)
	}
	if err := process.Smoke(context.Background(), scenario.Missing("x", "no compiler"), process.DefaultTimeout); err == nil || err.Error() != "no compiler" {
		t.Errorf("got %v", err)
	}
}

// A peer does not outlive the runner, even one that waits for ever, and however the
// runner ends.
func TestPeersEndWithTheRunner(t *testing.T) {
	if dir := os.Getenv("SCM_TEST_RUNNER"); dir != "" {
		self := runner(t)
		hang := script(t, `recv) echo $$ > `+dir+`/new; mv `+dir+`/new `+dir+`/pid; exec sleep 1000;;`)
		Run(context.Background(), []scenario.Case{onStream(mustParse(t, passOne), self, hang)}, nil, Options{Timeout: time.Hour})
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPeersEndWithTheRunner$")
	cmd.Env = append(os.Environ(), "SCM_TEST_RUNNER="+dir, "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pid")
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || unix.Kill(pid, 0) != nil {
		t.Fatalf("it is not there: %s", text)
	}
	if err := cmd.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// It stays a zombie meanwhile, as in a container in which nobody reaps.
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	waitGone(t, file)
	left, err := filepath.Glob(filepath.Join(dir, "scm-interop-*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("left: %v, %v", left, err)
	}
	sweep(t.Context(), dir)
	if _, err := os.Stat(left[0]); err == nil {
		t.Errorf("%s stays", left[0])
	}
	_ = cmd.Wait() // it was killed
}
