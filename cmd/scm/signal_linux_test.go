package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/interop/report"
)

// waitFor waits until the file exists, and returns its contents.
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
			t.Fatalf("%s was not written", file)
		}
	}
}

// ended reports whether the process has ended.
func ended(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(pid)
	fdtest.Must(t, err)
	return fdtest.Ended(n)
}

var signals = map[syscall.Signal]string{
	syscall.SIGINT:  "interrupt",
	syscall.SIGTERM: "terminated",
	syscall.SIGHUP:  "hangup",
}

// slowPeer returns a peer that never answers a receive. When it gets that command, it writes its
// process ID to the file. Tests wait for the file.
func slowPeer(file, fake string) string {
	return fmt.Sprintf(`slow=sh -c 'echo $$ > %[1]s.pid; while read -r line; do case $line in recv*) mv %[1]s.pid %[1]s;; esac; echo "$line"; done | %[2]s --fault hang'`, file, fake)
}

// signalled starts a command, sends it the signal once the file exists, and waits for
// it to end. The process whose ID is in the file must have ended too.
func signalled(t *testing.T, s syscall.Signal, file string, args ...string) result {
	t.Helper()
	p := start(t, args...)
	pid := waitFor(t, file)
	fdtest.Must(t, p.cmd.Process.Signal(s))
	r := p.wait()
	if !ended(t, pid) {
		t.Errorf("process %s is still running", pid)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("scm-interop-%d-*", p.cmd.Process.Pid)))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	return r
}

// A signal ends a run while it waits for a peer, both during a case and before the first one, when the
// runner asks the peers what they support.
func TestSignal(t *testing.T) {
	fake := program(t, "faulty")
	for s, name := range signals {
		t.Run(name, func(t *testing.T) {
			file, json := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "report.json")
			r := signalled(t, s, file, "interop", "run", "--builtin=false", "--peer", slowPeer(file, fake), "--timeout", "1h", "--jobs", "1", "--report", json,
				"--expect", write(t, "** leak@slow the shell before it keeps what both were given"),
				"--run", "basics/no-fd-message-has-no-cmsg/stream/slow/runner", "--run", "basics/pass-one-fd/stream/runner/slow")
			if r.code != 128+int(s) || r.stderr != "scm: "+name+"\n" {
				t.Errorf("exit status %d, %q; want %d and %s", r.code, r.stderr, 128+int(s), name)
			}
			for _, want := range []string{"\nOf 1 case, 1 failed as expected.", "\ncut short after 1 of 2 cases: " + name + "\n", "\nslow: of 1 case, "} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("no %q in\n%s", want, r.stdout)
				}
			}
			if whole, err := report.Read(json); err != nil || whole.Cut != name {
				t.Errorf("the report: got %+v, %v; want it cut short by %s", whole, err, name)
			}

			file += "2"
			r = signalled(t, s, file, "interop", "list", "--peer", "slow=sh -c 'echo $$ > "+file+"; exec sleep 1000'")
			if want := (result{code: 128 + int(s), stderr: "scm: " + name + "\n"}); r != want {
				t.Errorf("list: got %+v, want %+v", r, want)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "pid") // QUIT also prints the stacks
	r := signalled(t, syscall.SIGQUIT, file, "interop", "run", "--peer", "slow=sh -c 'echo $$ > "+file+"; exec sleep 1000'")
	if r.code != 128+int(syscall.SIGQUIT) || !like(r.stderr, "goroutine …\nscm: quit\n") {
		t.Errorf("after SIGQUIT: got %+v, want the stacks", r)
	}
}

// If scm is killed before it traces its stub, no process is left behind.
func TestKilledWhileStarting(t *testing.T) {
	traceable(t)
	trace := []string{"trace", "--", "sleep", "1000"}
	diff := []string{"diff", "--", "sleep", "1000", "---", "sleep", "1000"}
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		args   []string
		child  string
	}{
		{"trace, SIGKILL", syscall.SIGKILL, trace, scmChild},
		{"trace, SIGTERM", syscall.SIGTERM, trace, scmChild},
		{"diff, SIGKILL", syscall.SIGKILL, diff, scmChild},
		{"diff, SIGTERM", syscall.SIGTERM, diff, scmChild},
		{"trace with a stub that begins on another thread, SIGKILL", syscall.SIGKILL, trace, scmOtherThread},
	} {
		t.Run(c.name, func(t *testing.T) {
			for tries := 0; !killedWhileStarting(t, c.signal, c.child, c.args...); tries++ {
				if tries == 100 {
					t.Fatal("scm always traced its stub before it could be stopped")
				}
			}
		})
	}
}

// killedWhileStarting stops scm, sends it the signal when its stub waits to be traced, and
// waits until no process still has its standard output open. It reports whether scm was
// stopped before it traced the stub.
func killedWhileStarting(t *testing.T, s syscall.Signal, child string, args ...string) (caught bool) {
	t.Helper()
	out, stdout, err := os.Pipe()
	fdtest.Must(t, err)
	defer out.Close()
	cmd := scmAs(child, args...)
	cmd.Stdout, cmd.Stderr = stdout, stdout
	err = cmd.Start()
	stdout.Close()
	fdtest.Must(t, err)
	scm, stub := cmd.Process.Pid, ""
	defer func() {
		_ = cmd.Process.Kill() // it has ended already, unless the test has failed
		_ = cmd.Wait()
	}()
	fdtest.Eventually(t, "scm starts a stub", func() bool {
		for _, stub = range strings.Fields(states(t, scm, "children")) {
			// Package os may start a child of its own first, to see what the kernel can do.
			line, _ := os.ReadFile("/proc/" + stub + "/cmdline")
			name, _, _ := strings.Cut(string(line), "\x00")
			if name == "scm-recorder-stub" || name == "sleep" { // which the stub becomes
				return true
			}
		}
		return false
	})
	pid, err := strconv.Atoi(stub)
	fdtest.Must(t, err)
	fdtest.Must(t, cmd.Process.Signal(syscall.SIGSTOP))
	fdtest.Eventually(t, "scm stops", func() bool {
		all := states(t, scm, "status")
		return strings.Count(all, "\nState:\t") == strings.Count(all, "\nState:\tT")
	})
	fdtest.Eventually(t, "the stub stops", func() bool {
		status, _ := os.ReadFile("/proc/" + stub + "/status")
		traced := !strings.Contains(string(status), "\nTracerPid:\t0\n")
		caught = !traced && strings.Contains(string(status), "\nState:\tT")
		return traced || caught
	})
	for _, s := range []syscall.Signal{s, syscall.SIGCONT} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
	}
	_ = out.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Errorf("a process is still running: %v", err)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return caught
}

// states returns what this file in /proc contains for all threads of a process.
func states(t *testing.T, pid int, file string) (all string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", pid, file))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d has ended: %v", pid, err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may have ended
		all += string(text)
	}
	return all
}

// A signal that scm's caller ignores, as under nohup, stays ignored.
func TestIgnoredSignal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$@"`, "sh", program(t, "scm"), "interop", "run", "--builtin=false",
		"--peer", "fake=sh -c 'kill -HUP $PPID; echo $PPID > "+file+"; exec "+program(t, "faulty")+"'", "--run", "basics")
	if r := finish(t, cmd); r.code != 0 || strings.Contains(r.stdout, "cut short") || contents(t, file) == "" {
		t.Errorf("after an ignored SIGHUP: got %+v, want exit status 0 and all cases", r)
	}
}

// A signal while scm reads its files, before the first case, or writes a report, such as the second one from a CI
// server, does not keep it from writing the others.
func TestSignalAroundRun(t *testing.T) {
	for _, c := range []struct {
		flag, what, headline string
		mode                 int // in which the other end is opened, as soon as scm has opened the FIFO
	}{
		{"--expect", "reading", "<h1>scm interop: did not run: ", os.O_WRONLY},
		{"--report", "writing", "<h1>scm interop: as expected</h1>", os.O_RDONLY},
	} {
		t.Run(c.what, func(t *testing.T) {
			pipe, last := fifo(t, "pipe.json"), filepath.Join(t.TempDir(), "last.html")
			p := start(t, "interop", "run", "--run", "{basics,payload}", "--kernel=false", c.flag, pipe, "--report", last)
			f, err := os.OpenFile(pipe, c.mode, 0)
			if err == nil {
				err = p.cmd.Process.Signal(syscall.SIGTERM)
			}
			fdtest.Must(t, err)
			_, _ = io.Copy(io.Discard, f) // the report is larger than a pipe; the other end cannot be read
			_ = f.Close()
			if r := p.wait(); r.code != 128+int(syscall.SIGTERM) || !strings.Contains(contents(t, last), c.headline) {
				t.Errorf("got %v and the report %.200q, want %s", r, contents(t, last), c.headline)
			}
		})
	}
}
