package recorder

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is a user without capabilities.
const nobody = 65534

func TestWhy(t *testing.T) {
	fine := circumstances{yama: -1, sameUser: true, readable: true}
	for _, c := range []struct {
		change func(*circumstances)
		want   string
	}{
		{func(c *circumstances) { c.gone = true }, "no such process"},
		{func(c *circumstances) { c.ownThread = true }, "cannot trace itself"},
		{func(c *circumstances) { c.tracedBy = 42 }, "process 42 traces it already"},
		{func(c *circumstances) { c.kernel = true }, "kernel thread"},
		{func(c *circumstances) { c.started, c.tracer = true, 7 }, "process 7 traces this one"},
		{func(c *circumstances) { c.yama, c.capability = 3, true }, "kernel.yama.ptrace_scope is 3"},
		{func(c *circumstances) { c.yama = 2 }, "kernel.yama.ptrace_scope is 2"},
		{func(c *circumstances) { c.yama = 1 }, "kernel.yama.ptrace_scope is 1"},
		{func(c *circumstances) { c.yama, c.sameUser = 1, false }, "another user"},
		{func(c *circumstances) { c.sameUser = false }, "another user"},
		{func(c *circumstances) { c.readable = false }, "not dumpable"},
		{func(c *circumstances) { c.filtered = true }, "seccomp filter that this process is under"},
		{func(c *circumstances) { c.filtered, c.container = true, "Docker" }, "seccomp filter of the container (Docker)"},
		{func(c *circumstances) { c.container = "Podman" }, "lacks the capability SYS_PTRACE"},
		{func(c *circumstances) { c.container, c.capability = "Podman", true }, "a security module"},
		{func(c *circumstances) {}, "a security module"},
		{func(c *circumstances) { c.started, c.yama = true, 1 }, "a security module"},
		{func(c *circumstances) { c.started, c.yama = true, 2 }, "kernel.yama.ptrace_scope is 2"},
	} {
		now := fine
		c.change(&now)
		if got := now.why(); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s; want %s", now, got, c.want)
		}
	}
}

func TestForbiddenTargets(t *testing.T) {
	needsPtrace(t)
	s := startSteps(t, "steps")
	defer s.end()

	// Under another tracer: a child of ours that records, and then waits.
	cmd := childCommand("signal", strconv.Itoa(int(unix.SIGTERM)), "handle")
	out, to := io.Pipe()
	cmd.Stdout = to
	started := make(chan *os.Process, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := Record(cmd, Options{Started: func(p *os.Process) { started <- p }})
		ended <- err
	}()
	traced := <-started
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		pid  int
		want string
	}{
		{1 << 30, "no such process"},
		{os.Getpid(), "cannot trace itself"},
		{traced.Pid, "process " + strconv.Itoa(os.Getpid()) + " traces it already"},
	} {
		_, err := Attach(canceled(), c.pid, Options{})
		var forbidden *ForbiddenError
		if !errors.As(err, &forbidden) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("process %d: %v; want %s", c.pid, err, c.want)
		}
	}
	if err := traced.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if _, err := lines.ReadString('\n'); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestForbiddenBySeccomp(t *testing.T) {
	needsPtrace(t)
	out, err := childCommand("forbidden").Output()
	if err != nil || !strings.Contains(string(out), "seccomp filter") {
		t.Errorf("%s, %v", out, err)
	}
}

// Memory can be read in another way than by process_vm_readv.
func TestReadvForbidden(t *testing.T) {
	needsPtrace(t)
	out, err := childCommand("noreadv").Output()
	if want := "sendmsg \"payload!\"\nrecvmsg \"payload!\"\n<nil>\n"; err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

// Who is traced with all of his children cannot trace them.
func TestForbiddenByTracer(t *testing.T) {
	_, stdout := recorded(t, childCommand("record"), Options{})
	if want := "process " + strconv.Itoa(os.Getpid()) + " traces this one"; !strings.Contains(stdout, want) {
		t.Errorf("%s; want %s", stdout, want)
	}
}

// A user without capabilities records his own programs: with no_new_privs for
// the filter, and without either if none is asked for.
func TestNobody(t *testing.T) {
	needsPtrace(t)
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	cmd := childCommand("nobody")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, want := range []string{
		"2 calls, <nil>, ",
		"0 calls, <nil>, NoNewPrivs: 1 Seccomp: 2",
		"0 calls, <nil>, NoNewPrivs: 0 Seccomp: 0",
		"ptrace: operation not permitted: it belongs to another user",
		"ptrace: operation not permitted: it is not dumpable",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d of\n%s\nwant %s", i, out, want)
		}
	}
}

// With CAP_SYS_PTRACE a set-user-ID program keeps what it gains while it is
// traced, so that no_new_privs would change it: there is no filter then.
func TestCapable(t *testing.T) {
	needsPtrace(t)
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	cmd := childCommand("capable")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_SYS_PTRACE},
	}
	out, err := cmd.Output()
	if errors.Is(err, unix.EPERM) {
		t.Skip("this root cannot hand on CAP_SYS_PTRACE")
	}
	if err != nil || !strings.HasPrefix(string(out), "NoNewPrivs: 0 Seccomp: 0\n") {
		t.Errorf("%s, %v", out, err)
	}
}
