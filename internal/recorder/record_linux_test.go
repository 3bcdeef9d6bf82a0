package recorder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
)

// mayTrace returns an error if this process may not trace.
var mayTrace = sync.OnceValue(func() error {
	_, err := Record(childCommand("none"), Options{})
	return err
})

// needsPtrace skips a test if this process may not trace. With CI=true that is an error.
func needsPtrace(t *testing.T) {
	t.Helper()
	err := mayTrace()
	var forbidden *ForbiddenError
	if err == nil || len(recordable) > 0 && !errors.As(err, &forbidden) {
		return
	}
	fdtest.Missing(t, "ptrace", err.Error())
}

// recordChild runs a child, which must succeed.
func recordChild(t *testing.T, cmd *exec.Cmd, o Options) (calls []Call, stdout string) {
	t.Helper()
	needsPtrace(t)
	var out bytes.Buffer
	cmd.Stdout = &out
	calls, err := Record(cmd, o)
	if err != nil {
		t.Fatalf("record %q: %v\n%s", cmd.Args, err, &out)
	}
	return calls, out.String()
}

// ways runs a test with and without a filter.
func ways(t *testing.T, test func(t *testing.T, o Options)) {
	t.Run("with a filter", func(t *testing.T) { test(t, Options{}) })
	t.Run("without a filter", func(t *testing.T) { test(t, Options{NoFilter: true}) })
}

// byName returns the calls with a name.
func byName(calls []Call, name string) (list []*Call) {
	for i := range calls {
		if calls[i].Name() == name {
			list = append(list, &calls[i])
		}
	}
	return list
}

func TestEveryByte(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, stdout := recordChild(t, childCommand("pass"), o)
		if len(calls) != 2 || calls[0].Name() != "sendmsg" || calls[1].Name() != "recvmsg" {
			t.Fatalf("recorded %v", calls)
		}
		if c := calls[0]; c.Result != 8 || c.Errno != 0 || c.flags() != unix.MSG_NOSIGNAL {
			t.Errorf("recorded %+v", c)
		}
		lines := 0
		for line := range strings.Lines(stdout) {
			f := strings.Fields(line)
			lines++
			c := &calls[0]
			if f[0] == "recv" {
				c = &calls[1]
			}
			m := &c.Entry.Messages[0]
			if f[1] == "exit" {
				m = &c.Exit.Messages[0]
			}
			for i, want := range f[3:] {
				got := map[string][]byte{
					"msghdr": m.Header.Data, "iovec": m.Iovecs.Data, "payload": m.Payload[i].Data, "control": m.Control.Data,
				}[f[2]]
				if !bytes.Equal(got, unhex(want)) {
					t.Errorf("%s %s %s %d: recorded %x, want %s", f[0], f[1], f[2], i, got, want)
				}
			}
		}
		if lines != 16 {
			t.Errorf("the child printed %d lines:\n%s", lines, stdout)
		}
	})
}

func TestBatch(t *testing.T) {
	calls, _ := recordChild(t, childCommand("batch"), Options{})
	if len(calls) != 2 || calls[0].Name() != "sendmmsg" || calls[1].Name() != "recvmmsg" {
		t.Fatalf("recorded %v", calls)
	}
	for i, c := range calls {
		if len(c.Entry.Messages) != 3+i || c.transferred() != 3 {
			t.Errorf("%s: %d messages, %d transferred", c.Name(), len(c.Entry.Messages), c.transferred())
		}
		for m := range 3 {
			message := c.message(m)
			data, length := message.payload()
			if want := strings.Repeat("x", m+1); string(data) != want[:m+1] || length != m+1 {
				t.Errorf("%s: message %d is %q, %d bytes", c.Name(), m, data, length)
			}
			list, rest := message.Control.Cmsgs, message.Control.Rest
			if len(list) != 1 || len(list[0].FDs) != 1 || len(rest) != 0 {
				t.Errorf("%s: message %d contains %v", c.Name(), m, list)
			}
		}
	}
	timeout := unix.Timespec{Sec: 1000, Nsec: 5}
	if got := calls[1].Entry.Timeout.Data; !bytes.Equal(got, bytesOf(&timeout)) {
		t.Errorf("the timeout is %x", got)
	}
	if text := calls[1].Text(); !strings.Contains(text, `{room for 8+`) {
		t.Errorf("the fourth message: %s", text)
	}
	fewer := []Call{clone(calls[0]), clone(calls[1])}
	fewer[0].Registers[2], fewer[1].Result = 2, 2
	for _, s := range []*Snapshot{&fewer[0].Entry, &fewer[0].Exit} {
		s.Messages = s.Messages[:2]
	}
	fewer[0].redecode()
	fewer[1].Exit.Messages[2] = fewer[1].Entry.Messages[2]
	fewer[1].redecode()
	var fields []string
	for _, d := range UsedMemory.All(calls, fewer) {
		fields = append(fields, d.Place.String())
	}
	const want = "argument 2; message 2, cmsg_len; message 2, cmsg_level; message 2, cmsg_type; message 2, SCM_RIGHTS, descriptor 0; " +
		"message 2, payload; the result" // what is not received is not compared
	if got := strings.Join(fields, "; "); got != want {
		t.Errorf("with a message less: %s, want %s", got, want)
	}
}

func TestTree(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recordChild(t, childCommand("fork"), o)
		// The runtime of a Go program makes a child to test pidfds.
		var tree [][]int
		for _, stream := range (Comparison{}).streams(calls, nil) {
			if len(stream) != 2 {
				t.Errorf("process %v made %d calls", stream[0].Process.path(), len(stream))
			}
			tree = append(tree, stream[0].Process.path())
		}
		below := func(path, parent []int) bool {
			return len(path) == len(parent)+1 && slices.Equal(path[:len(parent)], parent)
		}
		if len(tree) != 4 || !below(tree[1], tree[0]) || !below(tree[2], tree[0]) || !below(tree[3], tree[2]) {
			t.Errorf("processes %v", tree)
		}
	})
}

func TestExec(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recordChild(t, childCommand("exec"), o)
		if len(calls) != 4 {
			t.Fatalf("recorded %v", calls)
		}
		pid := calls[0].Process.PID
		if calls[0].Thread == pid || calls[2].Process.PID != pid {
			t.Errorf("threads %d, %d of processes %d, %d", calls[0].Thread, calls[2].Thread, pid, calls[2].Process.PID)
		}
	})
}

func TestThreads(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, _ := recordChild(t, childCommand("threads"), o)
		threads := map[int]bool{}
		for _, c := range calls {
			threads[c.Thread] = true
			if c.Process != calls[0].Process {
				t.Errorf("%d is another process", c.Thread)
			}
		}
		if len(calls) != 16 || len(threads) != 8 {
			t.Errorf("%d calls of %d threads", len(calls), len(threads))
		}
	})
}

// The command gets its own parent-death signal, and not that of the stub.
func TestDeathSignal(t *testing.T) {
	for _, attr := range []*syscall.SysProcAttr{nil, {}, {Pdeathsig: unix.SIGUSR1}, {Pdeathsig: unix.SIGKILL}} {
		cmd := childCommand("death signal")
		cmd.SysProcAttr = attr
		want := syscall.Signal(0)
		if attr != nil {
			want = attr.Pdeathsig
		}
		if _, got := recordChild(t, cmd, Options{}); got != fmt.Sprintln(int(want)) || cmd.SysProcAttr != attr {
			t.Errorf("got %q, want %d; the command's attributes are %+v", got, want, cmd.SysProcAttr)
		}
	}
}

// A program that is stopped does stop, and its parent is notified.
func TestGroupStop(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		calls, stdout := recordChild(t, childCommand("stop"), o)
		if stdout != "stopped, continued, ended\n" || len(calls) != 2 {
			t.Errorf("%s, %d calls", stdout, len(calls))
		}
	})
}

// A call that is made again after a signal counts once.
func TestRestart(t *testing.T) {
	plain, _ := recordChild(t, childCommand("restart"), Options{})
	calls, _ := recordChild(t, childCommand("restart", "signal"), Options{})
	receipts := byName(calls, "recvmsg")
	if len(receipts) != 2 || !interrupted(receipts[0].Errno) || receipts[1].Result != 8 {
		t.Errorf("recorded %v", calls)
	}
	if d := UsedMemory.First(plain, calls); d != nil {
		t.Error(d)
	}
}

// wakesThread reports whether Go's scheduler makes such calls on its own, whenever a time slice ends.
func wakesThread(c Call) bool { return strings.HasPrefix(c.Name(), "futex") }

// The end of a signal handler has no result: the registers are those of the interrupted call. How they say that a call
// has failed depends on the instruction with which the program made it.
func TestSigreturnHasNoResult(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		o.Sections = true
		calls, _ := recordChild(t, childCommand("sigreturn"), o)
		if list := byName(calls, "write"); len(list) != 1 || list[0].Errno != unix.EPIPE {
			t.Errorf("got the writes %v, want one that fails with EPIPE", list)
		}
		list := append(byName(calls, "rt_sigreturn"), byName(calls, "sigreturn")...)
		if len(list) != 1 || list[0].Errno != 0 || list[0].Result != 0 {
			t.Errorf("got the returns from a signal handler %v, want one without a result", list)
		}
	})
}

func TestSections(t *testing.T) {
	names := func(calls []Call) string {
		var list []string
		for _, c := range calls {
			list = append(list, fmt.Sprintf("%d:%s", c.Section, c.Name()))
		}
		return strings.Join(list, " ")
	}
	const want = "1:sendmsg 1:recvmsg 2:getpid 2:close 2:close 2:fcntl 2:write 2:read"
	var both [][]Call
	ways(t, func(t *testing.T, o Options) {
		o.Sections = true
		calls, _ := recordChild(t, childCommand("sections"), o)
		calls = slices.DeleteFunc(calls, wakesThread)
		if got := strings.ReplaceAll(names(calls), "fcntl64", "fcntl"); got != want {
			t.Fatalf("recorded %s, want %s", got, want)
		}
		if c := calls[4]; c.Errno != unix.EBADF || c.errorName() != "EBADF" {
			t.Errorf("got %v, want a close that fails with EBADF", &c)
		}
		both = append(both, calls)
	})
	if len(both) == 2 {
		if d := (Comparison{}).First(both[0], both[1]); d != nil {
			t.Error(d)
		}
	}
}

// The arguments of socketcall are words in memory.
func TestSocketcall(t *testing.T) {
	needsPtrace(t)
	if recordable[0].syscallNumber("socketcall") == none {
		t.Skip(runtime.GOARCH + " has no socketcall")
	}
	recordSocketcall(t, childCommand("socketcall"))
}

func recordSocketcall(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	calls, _ := recordChild(t, cmd, Options{})
	if len(calls) != 2 || !calls[0].ViaSocketcall() || !calls[1].ViaSocketcall() {
		t.Fatalf("recorded %v", calls)
	}
	for i, want := range []string{
		`^socketcall sendmsg\(\d+<unix stream socket:\[\d+\]>, "payload!", SCM_RIGHTS \[0<.*>\], MSG_NOSIGNAL\) = 8`,
		`^socketcall recvmsg\(\d+<unix stream socket:\[\d+\]>, "payload!", SCM_RIGHTS \[\d+<.*> close-on-exec\], MSG_CMSG_CLOEXEC\) = 8`,
	} {
		if text := calls[i].Text(); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("got %s, want %s", text, want)
		}
		if m := calls[i].Entry.SocketcallArgs; len(m.Data) != 3*calls[i].Arch.word {
			t.Errorf("%d bytes of arguments", len(m.Data))
		}
	}
}

// A program with another word size is recorded with its own layouts.
func TestOtherWidth(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 runs programs of another width here")
	}
	if testing.Short() {
		t.Skip("-short: a run without it tests this, and neither the user nor the backend matters")
	}
	needsPtrace(t)
	bin := t.TempDir() + "/child"
	build := exec.Command("go", "test", "-c", "-o", bin, ".")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for 386: %v\n%s", err, out)
	}
	cmd := childCommand("pass")
	cmd.Path = bin
	calls, stdout := recordChild(t, cmd, Options{})
	if len(calls) != 2 || calls[0].Arch.Name != "386" || len(calls[0].Entry.Messages[0].Header.Data) != 28 {
		t.Fatalf("recorded %v", calls)
	}
	want := regexp.MustCompile(`send entry control ([0-9a-f]+)`).FindStringSubmatch(stdout)
	if got := calls[0].Entry.Messages[0].Control.Data; !bytes.Equal(got, unhex(want[1])) {
		t.Errorf("control %x, want %s", got, want[1])
	}
	if !strings.Contains(calls[1].Text(), `"payload!", SCM_RIGHTS [`) {
		t.Error(calls[1].Text())
	}
	cmd = childCommand("socketcall")
	cmd.Path = bin
	recordSocketcall(t, cmd)
}

// A process can be killed just after it has made a child. The recorder then lets the child run and
// waits for its end.
func TestKilledParent(t *testing.T) {
	if runtime.GOARCH == "386" {
		t.Skip("the shell is amd64's")
	}
	fdtest.Program(t, "sh")
	ways(t, func(t *testing.T, o Options) {
		needsPtrace(t)
		o.StillOpen = func(*StillOpen) {} // the shell then also stops before it ends
		for n := range 40 {
			cmd := exec.Command("sh", "-c", "while echo; do (:) & done")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatalf("round %d: %v", n, err)
			}
			cmd.Stdout = w
			o.Started = func(p *os.Process) {
				go func() {
					_, _ = io.ReadFull(r, make([]byte, 10+n))
					_ = p.Kill()
				}()
			}
			_, err = Record(cmd, o)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Status.Signal() != unix.SIGKILL {
				t.Errorf("round %d: the shell ended with %v, want SIGKILL", n, err)
			}
			_, _ = r.Close(), w.Close()
		}
	})
}
