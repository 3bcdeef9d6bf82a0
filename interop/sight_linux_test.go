package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"github.com/scm-rights/scm/interop/process"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// oddArgument, before one of the words below, makes the test program a peer that conforms,
// but is a process that not every look reaches.
const oddArgument = "scm-test-odd"

const (
	leaderless = "leaderless" // its first thread has ended
	leaking    = "leaking"    // so has this one's, and it keeps a duplicate of what it receives
	hidden     = "hidden"     // it is not dumpable: only a privileged process sees its descriptors
)

func init() {
	if len(os.Args) < 3 || os.Args[1] != oddArgument {
		return
	}
	var received func(fds []int)
	serve := func() {
		_ = peer.Serve(peer.Library{Name: "x", Version: "1", Can: "stream,multi", Open: func(sock int) (peer.Socket, error) {
			return adept{sock: sock, received: received}, nil
		}}, os.Stdin, os.Stdout)
		os.Exit(0)
	}
	switch os.Args[2] {
	case leaking:
		received = func(fds []int) { _, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0) }
		fallthrough
	case leaderless:
		// In init, the main goroutine has the first thread.
		go serve()
		_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	case hidden:
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		serve()
	}
	os.Exit(2)
}

// odd is such a peer.
func odd(t *testing.T, what string) *scenario.Peer {
	t.Helper()
	p := scenario.Program("x", "/proc/self/exe", oddArgument, what)
	if err := process.Probe(p, process.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	return p
}

// sights are scenarios in which the runner looks at the receiver, and what it sees there.
var sights = map[string]string{
	"it receives": passOne,
	"flags":       passOne + "R> flags B a=-\n",
	"it waits": rule + "on stream\nfiles a=pipe-r\nB>& recv bytes=1 fds=1\nR> blocked B\nA> send payload=00 fds=a\nA< ok n=1\n" +
		"B<& ok n=1 payload=00 fds=a\n",
	"it is killed while it waits": passOne + "B>& recv bytes=1 fds=1\nR> blocked B\nR> kill B SIGKILL\n",
	"it is killed":                passOne + "R> kill B SIGKILL\n",
	"a limit": rule + "on stream\nfiles a=pipe-r\nR> limit B nofile=+1\nA> send payload=00 fds=a\nA< ok n=1\n" +
		"B> recv bytes=1 fds=1\nB< ok n=1 payload=00 fds=a\n",
	"it sends": rule + "on stream\nB> send payload=00 fds=-\nB< ok n=1\nA> recv bytes=1 fds=0\nA< ok n=1 payload=00 fds=-\n",
}

// A process lives on when its first thread has ended, and its other threads have the
// descriptors.
func TestPeerWithoutItsFirstThread(t *testing.T) {
	self, x := runner(t), odd(t, leaderless)
	settled(t)
	for name, text := range sights {
		o := Run(context.Background(), []scenario.Case{{Scenario: mustParse(t, text), Type: "stream", A: self, B: x}}, nil, Options{})
		if len(o.Results) != 1 || o.Results[0].Verdict != scenario.Pass {
			t.Errorf("%s: got %+v", name, o.Results)
		}
	}
	leak := scenario.Case{Scenario: mustParse(t, passOne), Type: "stream", A: self, B: odd(t, leaking)}
	if got := finding(t, Run(context.Background(), []scenario.Case{leak}, nil, Options{}).Results[0]); !strings.HasPrefix(got, "leak@x: a, as ") || !strings.HasSuffix(got, ", is open, and nobody was told") {
		t.Errorf("got %s", got)
	}
}

// Where the runner may not look at a peer, nothing is said of what the peer has open.
func TestPeerThatCannotBeSeen(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root sees all. /proc/self/exe is there whoever may enter the folder of the program.
		dir, err := os.MkdirTemp("", "scm-nobody-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		const nobody = 65534
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestPeerThatCannotBeSeen$", "-test.v")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestPeerThatCannotBeSeen") {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
		return
	}
	self, x := runner(t), odd(t, hidden)
	settled(t)
	for name, text := range sights {
		o := Run(context.Background(), []scenario.Case{{Scenario: mustParse(t, text), Type: "stream", A: self, B: x}}, nil, Options{})
		if len(o.Results) != 1 || len(o.Results[0].Findings) > 0 {
			t.Errorf("%s: got %+v", name, o.Results)
			continue
		}
		if r := o.Results[0]; r.Verdict != scenario.NotRun || !strings.Contains(r.Why, "permission denied") {
			t.Errorf("%s: %s, %s", name, r.Verdict, r.Why)
		}
	}
}
