package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitFor waits until the file is there, and returns what is in it.
func waitFor(t *testing.T, file string) string {
	t.Helper()
	for late := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(string(text), "\n") {
			return strings.TrimSpace(string(text))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if time.Now().After(late) {
			t.Fatalf("nobody writes %s", file)
		}
	}
}

// running reports whether there is a process of this number that has not ended.
func running(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// signalled starts a run, sends the signal once the file is there, and waits for
// the end. Whoever wrote the file, its number in it, has ended too by then.
func signalled(t *testing.T, s syscall.Signal, file string, args ...string) result {
	t.Helper()
	cmd := exec.Command(program(t, "scm"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.WaitDelay = &stdout, &stderr, t.TempDir(), time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := waitFor(t, file)
	if !running(pid) {
		t.Errorf("%s has ended already", pid)
	}
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd)
	if running(pid) {
		t.Errorf("%s is left running", pid)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("scm-interop-%d-*", cmd.Process.Pid)))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

var signals = map[syscall.Signal]string{
	syscall.SIGINT:  "interrupt",
	syscall.SIGTERM: "terminated",
	syscall.SIGHUP:  "hangup",
}

// slowPeer is a peer that never answers a receive. Once it has been asked for one, its
// process number is in the file: that is the moment to wait for.
func slowPeer(file, fake string) string {
	return fmt.Sprintf(`slow=sh -c 'echo $$ > %[1]s.pid; while read -r line; do case $line in recv*) mv %[1]s.pid %[1]s;; esac; echo "$line"; done | %[2]s --fault hang'`, file, fake)
}

// In the middle of a run: a peer that never answers a receive has just been asked.
func TestSignal(t *testing.T) {
	fake := program(t, "faulty")
	for s, name := range signals {
		t.Run(name, func(t *testing.T) {
			file, json := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "report.json")
			r := signalled(t, s, file, "interop", "run", "--builtin=false", "--peer", slowPeer(file, fake), "--timeout", "1h", "--jobs", "1", "--report", json,
				"--expect", write(t, "** leak@slow the shell before it keeps what both were given"),
				"--run", "basics/no-fd-message-has-no-cmsg/stream/slow/runner", "--run", "basics/pass-one-fd/stream/runner/slow")
			if r.code != 128+int(s) || r.stderr != "scm: "+name+"\n" {
				t.Errorf("exit status %d, %q", r.code, r.stderr)
			}
			for _, want := range []string{"verdicts: 1: 0 pass, 1 expected failures,", "\ncut short: " + name + "\n", "\nslow "} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("no %q in\n%s", want, r.stdout)
				}
			}
			if _, err := os.Stat(json); err != nil {
				t.Error(err)
			}
		})
	}
}

// SIGQUIT ends the run as the others do, and leaves the stacks on standard error.
func TestQuit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	script := fmt.Sprintf(`x=sh -c 'setsid sh -c "echo \$\$ > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 1000" <&- >&- 2>&- & exec sleep 1000'`, file)
	r := signalled(t, syscall.SIGQUIT, file, "interop", "run", "--builtin=false", "--peer", script)
	if r.code != 128+int(syscall.SIGQUIT) || !strings.HasPrefix(r.stderr, "goroutine ") || !strings.HasSuffix(r.stderr, "\nscm: quit\n") || r.stdout != "" {
		t.Errorf("got %+v", r)
	}
}

// Before the run: a peer that never answers is being asked what it can do.
func TestSignalBeforeTheRun(t *testing.T) {
	for s, name := range signals {
		for _, verb := range []string{"run", "list"} {
			file := filepath.Join(t.TempDir(), "pid")
			r := signalled(t, s, file, "interop", verb, "--peer", "slow=sh -c 'echo $$ > "+file+"; exec sleep 1000'")
			if r.code != 128+int(s) || r.stderr != "scm: "+name+"\n" || r.stdout != "" {
				t.Errorf("%s, %s: got %+v", verb, name, r)
			}
		}
	}
}

// A long list of expected failures takes minutes to be held against the cases.
func TestSignalInALongList(t *testing.T) {
	dir := t.TempDir()
	list, file := filepath.Join(dir, "expected.txt"), filepath.Join(dir, "pid")
	line := "{" + strings.Repeat("a/b,", 990) + "truncation} {" + strings.Repeat("leak,", 499) + "leak}@fake why\n"
	if err := os.WriteFile(list, []byte(strings.Repeat(line, 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program(t, "scm"), "interop", "list", "--builtin=false", "--expect", list, "--peer", "fake=sh -c 'echo $$ > "+file+"; exec "+program(t, "faulty")+"'")
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for pid := waitFor(t, file); running(pid); { // until then it is a peer that is waited for
		time.Sleep(time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_ = cmd.Process.Signal(syscall.SIGINT) // once: at its end scm gives a second one its default action back
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%v\n%s", cmd.ProcessState, stderr.String())
		}
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		t.Fatal("it goes on")
	}
}

// A signal that is ignored from the start, as under nohup, stays so.
func TestIgnoredSignal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$@"`, "sh", program(t, "scm"), "interop", "run", "--builtin=false",
		"--peer", "fake=sh -c 'echo $PPID > "+file+"; exec "+program(t, "faulty")+"'", "--run", "basics")
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Dir = &stdout, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, file)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.Contains(stdout.String(), "cut short") {
		t.Errorf("%v\n%s", err, stdout.String())
	}
}

// Who leaves the group of a peer ends with the run.
func TestOrphans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	peer := fmt.Sprintf(`x=sh -c 'setsid sh -c "echo \$\$ > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 1000" <&- >&- 2>&- & until [ -e %[1]s ]; do sleep 0.01; done; exec %[2]s'`,
		file, program(t, "faulty"))
	r := command(t, "interop", "run", "--builtin=false", "--peer", peer, "--run", "basics/no-fd-message-has-no-cmsg/stream/x/runner")
	if r.code != 0 {
		t.Errorf("got %+v", r)
	}
	if pid := waitFor(t, file); running(pid) {
		t.Errorf("%s is left", pid)
	}
}

// Who keeps starting another in a group of its own, and ends, does not outlive the run,
// and neither do two of whom each starts the other again when it is killed. Both give up
// by themselves after a while, in case the runner does not end them, and no more than a few run at
// once.
func TestForkers(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skipf("setsid: %v", err)
	}
	for name, script := range map[string]string{
		"one after the other": `: > "$1.began"; [ "$2" -gt 0 ] || exit; setsid sh "$0" "$1" $(($2-1)) & exit`,
		"each other":          `: > "$1.began"; n=$2; while [ $n -gt 0 ]; do n=$((n-1)); sh -c 'sleep 0.2' "$1"; setsid sh -c 'sleep 0.1; exit' "$0" "$1"; done`,
		"a few at once":       `: > "$1.began"; n=300; while [ $n -gt 0 ]; do n=$((n-1)); setsid sh -c 'exec sleep 20' "$0" "$1" & done; wait`,
	} {
		mark := filepath.Join(t.TempDir(), "mark")
		file := filepath.Join(filepath.Dir(mark), "forker")
		if err := os.WriteFile(file, []byte(script+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		peer := fmt.Sprintf(`x=sh -c 'setsid sh %[1]s %[2]s 3000 <&- >&- 2>&- & until [ -e %[2]s.began ]; do sleep 0.01; done; exec %[3]s'`, file, mark, program(t, "faulty"))
		r := command(t, "interop", "run", "--builtin=false", "--peer", peer, "--run", "basics/no-fd-message-has-no-cmsg/stream/x/runner")
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%s: got %+v", name, r)
		}
		names, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), mark) {
				t.Errorf("%s: %s is left: %q", script, name, text)
			}
		}
	}
}

// Who was there before the run, started by whoever became scm by exec, is not the
// run's to end.
func TestOlderChildren(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `sleep 1000 <&- >&- 2>&- & echo $!; exec "$@"`, "sh", program(t, "scm"), "interop", "run", "--builtin=false", "--run", "basics/pass-one-fd/stream")
	r := finish(t, cmd)
	pid, _, _ := strings.Cut(r.stdout, "\n")
	if r.code != 0 || !running(pid) {
		t.Errorf("%s has ended: %+v", pid, r)
		return
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// needsChildren skips a test where the kernel was built without CONFIG_PROC_CHILDREN.
func needsChildren(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		t.Skipf("this kernel does not list children: %v", err)
	}
}

// A process whose parent has ended is reaped while the run goes on: the peer answers only
// once none of those that it left is there any more, not even as a zombie.
func TestAdoptedAreReaped(t *testing.T) {
	needsChildren(t)
	script := filepath.Join(t.TempDir(), "parent")
	text := `list=$(mktemp "$1.XXXXXX")
shift
n=0
while [ $n -lt 5 ]; do
	n=$((n+1))
	(sh -c 'exit 0' & echo $! >> "$list")
done
while read -r pid; do
	while [ -e /proc/$pid ]; do sleep 0.01; done
done < "$list"
exec "$@"
`
	if err := os.WriteFile(script, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	peer := fmt.Sprintf("x=sh %[1]s %[1]s %[2]s --fault reopen", script, program(t, "faulty"))
	one := []string{"--peer", peer, "--run", "basics/pass-one-fd/stream/x/runner"}
	t.Run("alone", func(t *testing.T) {
		r := command(t, append([]string{"interop", "run", "--builtin=false"}, one...)...)
		if r.code != 1 || !strings.Contains(r.stdout, "file@x: ") {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("recorded", func(t *testing.T) {
		traceable(t)
		if c := traced(t, 1, one...); c.Trace == nil || c.Trace.Why != "" {
			t.Errorf("got %+v", c.Trace)
		}
	})
}
