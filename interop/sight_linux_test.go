package interop

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/scenario"
)

// inspections are scenarios in which the runner reads the receiver's files in /proc.
var inspections = map[string]string{
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

// If the runner may not inspect the descriptors of a peer, the case is "not run".
func TestPeerThatCannotBeSeen(t *testing.T) {
	if os.Geteuid() == 0 {
		// Root may inspect every process, so run the test as another user.
		dir := fdtest.ShortDir(t)
		const otherUser = 65534
		fdtest.Must(t, os.Chown(dir, otherUser, otherUser))
		cmd := reexec.TestCommand(t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}
		cmd.Dir, cmd.Env = dir, append(cmd.Env, "TMPDIR="+dir, "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestPeerThatCannotBeSeen") {
			t.Errorf("as another user: %v\n%s", err, out)
		}
		return
	}
	self, x := runner(t), testPeer(t, "hidden")
	checkNothingLeft(t)
	for name, text := range inspections {
		o := Run(context.Background(), []scenario.Case{{Scenario: mustParse(t, text), Type: "stream", A: self, B: x}}, nil, Options{})
		if len(o.Results) != 1 || len(o.Results[0].Findings) > 0 {
			t.Errorf("%s: got %+v", name, o.Results)
			continue
		}
		if r := o.Results[0]; r.Verdict != scenario.NotRun || !strings.Contains(r.Why, "permission denied") {
			t.Errorf("%s: got %s, want it not run: permission denied", name, outcome(r))
		}
	}
}
