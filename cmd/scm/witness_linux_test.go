package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/interop/report"
	"golang.org/x/sys/unix"
)

// witnessed selects scenarios that need a witness, to pass and to find a leak.
var witnessed = []string{"--run", "{basics,kinds,truncation}/*/stream/{runner,scm-purego}/{runner,scm-purego}", "--run", "death/inflight-sender-closes-original"}

// readExpected parses the JSON report of a run that must end as expected.
func readExpected(t *testing.T, r result) report.Report {
	t.Helper()
	if r.code != 0 || strings.Count(r.stderr, "\n") != strings.Count(r.stderr, " cases, 0 not as expected\n") {
		t.Fatalf("exit status %d\n%s", r.code, r.text())
	}
	var got report.Report
	fdtest.Must(t, json.Unmarshal([]byte(r.stdout), &got))
	if got.Totals.Pass < 100 || got.Totals.NotRun > 0 {
		t.Errorf("got the totals %+v, want at least 100 passes, and every case run", got.Totals)
	}
	return got
}

func TestWitness(t *testing.T) {
	blocked := tracee("without a witness")
	r := finish(t, exec.Command(blocked[0], append(blocked[1:], append([]string{program(t, "scm"), "interop", "run", "--json"}, witnessed...)...)...))
	ways := readExpected(t, r).Witnesses
	if ways["O_APPEND"] == 0 || ways["inode"] == 0 || ways["kcmp"] != 0 {
		t.Errorf("with kcmp blocked, the witnesses are %v", ways)
	}
	// The weaker witnesses still find the faults.
	for fault, key := range map[string]string{"dup": "leak", "reopen": "file", "cloexec": "cloexec", "replace": "file"} {
		cmd := append(slices.Clone(blocked[1:]), program(t, "scm"), "interop", "run", "--builtin=false", "--peer", "fake="+program(t, "faulty")+" --fault "+fault,
			"--run", "basics/pass-two-fds/stream", "--run", "truncation/ctrunc-two-of-three/stream")
		if r := finish(t, exec.Command(blocked[0], cmd...)); r.code != 1 || !strings.Contains(r.stdout, key+"@fake: ") || strings.Contains(r.stdout, "@runner: ") {
			t.Errorf("%s: exit status %d\n%s", fault, r.code, r.text())
		}
	}
}

// Without kcmp, scm poke finds a descriptor that only a thread with its own descriptor table keeps, and counts a table
// that threads share as one.
func TestPokeWithoutKcmp(t *testing.T) {
	blocked, socket := tracee("without a witness"), filepath.Join(fdtest.ShortDir(t), "socket")
	args := append(blocked[1:], program(t, "scm"), "poke", "--timeout=1m", "--settle=10ms", "--name=mine", "--socket", socket, "--")
	args = append(args, reexec.CommandLine("poked server", testserver.Apart+"all", "stream", socket)...)
	if r := finish(t, exec.Command(blocked[0], args...)); r.code != 1 || !strings.HasSuffix(r.stdout, "mine: 9 findings\n") {
		t.Errorf("exit status %d, want 1 and 9 findings\n%s", r.code, r.text())
	}
	if r := finish(t, exec.Command(blocked[0], append(blocked[1:], "/bin/sh", "-c", shellCommand("shared table"))...)); r.code != 0 {
		t.Error(r.text())
	}
}

// Without kcmp, scm trace and scm diff say which descriptors they may not report as still open, once for each program.
func TestTraceWithoutKcmp(t *testing.T) {
	traceable(t)
	const want = "scm: descriptors of threads that have a descriptor table of their own may be missing from those that are " +
		"still open, because scm cannot recognize such threads: kcmp: function not implemented\n"
	program := append(tracee("without kcmp"), program(t, "scm"))
	for runs, args := range map[int][]string{
		1: slices.Concat([]string{"trace", "--"}, tracee("threads")),
		2: slices.Concat([]string{"diff", "--"}, tracee("threads"), []string{"---"}, tracee("threads")),
	} {
		r := finish(t, exec.Command(program[0], append(program[1:], args...)...))
		if got := strings.Count(r.stderr, want); r.code != 0 || got != runs {
			t.Errorf("scm %s: exit status %d and %d such lines, want 0 and %d\n%s", args[0], r.code, got, runs, r.stderr)
		}
	}
}

// sharedTable returns an error if this process, whose threads share a descriptor table, has several.
func sharedTable() error {
	release := make(chan struct{})
	defer close(release)
	tid := make(chan int)
	go ownthread.Run(func() {
		tid <- unix.Gettid()
		<-release
	})
	other := <-tid
	stdins := 0
	tables, err := procfs.Tables(os.Getpid())
	for _, table := range tables {
		if _, open := table.Files[0]; open {
			stdins++
		}
	}
	if err == nil && stdins != 1 {
		err = fmt.Errorf("with thread %d: standard input is in %d of %v, want one", other, stdins, tables)
	}
	return err
}

// withoutWitness executes its command with kcmp, ptrace and pidfd_getfd blocked.
func withoutWitness() error {
	return without(unix.EPERM, unix.SYS_KCMP, unix.SYS_PTRACE, unix.SYS_PIDFD_GETFD)
}

// withoutPtrace executes its command with ptrace blocked as by a security module.
func withoutPtrace() error { return without(unix.EACCES, unix.SYS_PTRACE) }

// without executes its command. System calls fail with errno there.
func without(errno unix.Errno, calls ...uint32) error {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: load, K: 0}}
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: equal, K: call, Jt: uint8(len(calls) - i)})
	}
	filter = append(filter, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	if err := os.Unsetenv(reexec.Variable); err != nil {
		return err
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// unprivilegedUser is a user that owns nothing.
const unprivilegedUser = 65534

func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("all tests already run as an unprivileged user")
	}
	cmd := exec.Command(program(t, "scm"), append([]string{"interop", "run", "--json"}, witnessed...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivilegedUser, Gid: unprivilegedUser}}
	temp := fdtest.ShortDir(t)
	fdtest.Must(t, os.Chown(temp, unprivilegedUser, unprivilegedUser))
	cmd.Dir, cmd.Env = temp, append(os.Environ(), "TMPDIR="+temp, "HOME="+temp)
	got := readExpected(t, finish(t, cmd))
	if got.System.User != unprivilegedUser {
		t.Errorf("the run was by user %d", got.System.User)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}
