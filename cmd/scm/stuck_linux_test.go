package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fusetest"
)

// awaitStuck returns when a thread of scm reads memory that does not come: it has been in
// that call for a while.
func awaitStuck(t *testing.T, pid int) {
	t.Helper()
	want := fmt.Sprintf("%d ", unix.SYS_PROCESS_VM_READV)
	for seen, end := 0, time.Now().Add(time.Minute); seen < 20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("scm does not wait for the page")
		}
		calls, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		reading := 0
		for _, path := range calls {
			if text, _ := os.ReadFile(path); strings.HasPrefix(string(text), want) {
				reading = 1
			}
		}
		seen = (seen + reading) * reading
	}
}

// A page that does not come holds up the trace, but not the end of scm.
func TestStuck(t *testing.T) {
	traceable(t)
	mem, err := missingPage()
	if err != nil {
		t.Skip(err)
	}
	_ = unix.Munmap(mem)

	trace := scmCommand(t, append([]string{"trace", "-o", os.DevNull, "--"}, tracee(t, "page")...)...)
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	endStuck(t, trace, "signal: terminated")

	words := tracee(t, "page")
	target := exec.Command(words[0], words[1:]...)
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = target.Process.Kill(), target.Wait() }()
	attached := scmCommand(t, "trace", "-o", os.DevNull, "-p", strconv.Itoa(target.Process.Pid))
	if err := attached.Start(); err != nil {
		t.Fatal(err)
	}
	endStuck(t, attached, "exit status 0")
	runsOn(t, target.Process.Pid)
}

// runsOn fails the test unless the process runs without a tracer.
func runsOn(t *testing.T, pid int) {
	t.Helper()
	status := contents(t, fmt.Sprintf("/proc/%d/status", pid))
	if !strings.Contains(status, "TracerPid:\t0\n") || strings.Contains(status, "State:\tZ") {
		t.Errorf("the program does not run on:\n%s", status)
	}
}

func endStuck(t *testing.T, scm *exec.Cmd, want string) {
	t.Helper()
	awaitStuck(t, scm.Process.Pid)
	endsBy(t, scm, unix.SIGTERM, want)
}

func endsBy(t *testing.T, scm *exec.Cmd, s unix.Signal, want string) {
	t.Helper()
	if err := scm.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	ends(t, scm, unix.SignalName(s), want)
}

// ends waits for the end, of which that is the cause.
func ends(t *testing.T, scm *exec.Cmd, cause, want string) {
	t.Helper()
	late := time.AfterFunc(time.Minute, func() {
		t.Errorf("%s does not end scm", cause)
		_ = scm.Process.Kill()
	})
	_ = scm.Wait()
	if late.Stop() && scm.ProcessState.String() != want {
		t.Errorf("%v, want %s", scm.ProcessState, want)
	}
}

// A call that the recorder needs long for, in many short steps, does not keep the end from
// scm, also where other threads make the same.
func TestStuckInSteps(t *testing.T) {
	traceable(t)
	words := tracee(t, "holes")
	target := exec.Command(words[0], words[1:]...)
	out, err := target.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = target.Process.Kill(), target.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	attached := scmCommand(t, "trace", "-o", os.DevNull, "-p", strconv.Itoa(target.Process.Pid))
	if err := attached.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(time.Minute)
	for busy := 0; busy < 100; time.Sleep(time.Millisecond) { // ticks: it is in the midst of such calls
		if time.Now().After(late) {
			t.Fatal("scm is not busy")
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", attached.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')'):]))
		user, _ := strconv.Atoi(fields[12])
		system, _ := strconv.Atoi(fields[13])
		busy = user + system
	}
	endsBy(t, attached, unix.SIGTERM, "exit status 0")
}

// scm ends on a signal, although nobody reads the trace.
func TestStuckInOutput(t *testing.T) {
	traceable(t)
	for _, output := range []string{"standard error", "file"} {
		t.Run(output, func(t *testing.T) {
			words := tracee(t, "chatty")
			target := exec.Command(words[0], words[1:]...)
			if err := target.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = target.Process.Kill(), target.Wait() }()
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			fd, err := unix.Open(fifo, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			pipe := os.NewFile(uintptr(fd), fifo)
			defer func() { _ = pipe.Close() }()
			attached := scmCommand(t, "trace", "-p", strconv.Itoa(target.Process.Pid))
			if attached.Stderr = pipe; output == "file" {
				attached.Stderr, attached.Args = nil, append(attached.Args, "-o", fifo)
			}
			if err := attached.Start(); err != nil {
				t.Fatal(err)
			}
			// It is full when no line has been added for a while.
			late := time.Now().Add(time.Minute)
			for size, same := 0, 0; size == 0 || same < 20; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(late) {
					t.Fatal("scm writes no trace, or never stops to")
				}
				now, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
				if err != nil {
					t.Fatal(err)
				}
				if same++; now != size {
					size, same = now, 0
				}
			}
			endsBy(t, attached, unix.SIGTERM, "exit status 0")
		})
	}
}

// trace -p ends when its reader closes the trace. The traced process runs on.
func TestTraceReaderGoesAway(t *testing.T) {
	traceable(t)
	words := tracee(t, "chatty")
	target := exec.Command(words[0], words[1:]...)
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = target.Process.Kill(), target.Wait() }()
	r, w := pipe(t)
	attached := scmCommand(t, "trace", "-p", strconv.Itoa(target.Process.Pid))
	attached.Stderr = w
	if err := attached.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Errorf("%q, %v", line, err)
	}
	_, _ = r.Close(), w.Close()
	ends(t, attached, "the end of its reader", "exit status 4")
	runsOn(t, target.Process.Pid)
}

// A command that hangs in execve(2) keeps no signal from scm, also where Go has one
// processor: it hangs as well.
func TestCommandStuckInExec(t *testing.T) {
	traceable(t)
	server := fusetest.Mount(t, fusetest.Options{Program: true})
	server.Hush(fusetest.Open)
	for _, args := range [][]string{{"trace", "--", server.File}, {"diff", "--", server.File, "---", "true"}} {
		for s, processors := range map[unix.Signal]string{unix.SIGTERM: "1", unix.SIGINT: "2", unix.SIGHUP: "2"} {
			cmd := scmCommand(t, args...)
			cmd.Env = append(cmd.Env, "GOMAXPROCS="+processors)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-server.Waiting
			endsBy(t, cmd, s, "signal: "+s.String())
		}
	}
}
