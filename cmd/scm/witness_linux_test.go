package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/interop/report"
)

// few are scenarios that need a witness: for a pass, and for a leak.
var few = []string{"--run", "basics", "--run", "kinds", "--run", "truncation", "--run", "death/inflight-sender-closes-original"}

// played reads the JSON report of a run, which must be as expected.
func played(t *testing.T, r result) report.Report {
	t.Helper()
	if r.code != 0 || strings.Count(r.stderr, "\n") != strings.Count(r.stderr, " cases, 0 not as expected\n") {
		t.Fatalf("exit status %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var got report.Report
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Totals.Pass < 100 || got.Totals.NotRun > 0 {
		t.Errorf("got %+v", got.Totals)
	}
	return got
}

func TestWitness(t *testing.T) {
	refused := refuse(t)
	r := finish(t, exec.Command(refused[0], append(refused[1:], append([]string{program(t, "scm"), "interop", "run", "--json"}, few...)...)...))
	ways := played(t, r).Witnesses
	if ways["O_APPEND"] == 0 || ways["inode"] == 0 || ways["kcmp"] != 0 {
		t.Errorf("with kcmp refused the witnesses are %v", ways)
	}
	// Weaker, it convicts all the same.
	for fault, key := range map[string]string{"leak": "leak", "reopen": "file", "cloexec": "cloexec", "swap": "file"} {
		cmd := append(slices.Clone(refused[1:]), program(t, "scm"), "interop", "run", "--builtin=false", "--peer", "fake="+program(t, "faulty")+" --fault "+fault,
			"--run", "basics/pass-two-fds/stream", "--run", "truncation/ctrunc-two-of-three/stream")
		if r := finish(t, exec.Command(refused[0], cmd...)); r.code != 1 || !strings.Contains(r.stdout, key+"@fake: ") || strings.Contains(r.stdout, "@runner: ") {
			t.Errorf("%s: exit status %d\n%s%s", fault, r.code, r.stdout, r.stderr)
		}
	}
}

// refuse is what comes before a command to have kcmp, ptrace and pidfd_getfd
// refused in it.
func refuse(t *testing.T) []string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v, and CI=true", err)
		}
		t.Skip(err)
	}
	const calls = "kcmp,ptrace,pidfd_getfd"
	// Without --seccomp-bpf every system call is stopped at, which takes minutes.
	with := []string{strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + calls, "-e", "inject=" + calls + ":error=EPERM"}
	if out, err := exec.Command(with[0], append(with[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %v\n%s", err, out)
	}
	return with
}

// nobody is a user that owns nothing.
const nobody = 65534

func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("all tests are run by an unprivileged user")
	}
	cmd := exec.Command(program(t, "scm"), append([]string{"interop", "run", "--json"}, few...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	temp, err := os.MkdirTemp("", "scm-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)
	if err := os.Chown(temp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Env = temp, append(os.Environ(), "TMPDIR="+temp, "HOME="+temp)
	got := played(t, finish(t, cmd))
	if got.System.User != nobody {
		t.Errorf("it was run by user %d", got.System.User)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
