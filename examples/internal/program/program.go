//go:build unix

// Package program runs an example in a process of its own, which is a child of the test binary (see package
// reexec).
package program

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
)

// child is the name of the child that is the example.
const child = "example"

// Main is for TestMain. It runs the tests or, if Command started the process, the example. Tests that leave a
// descriptor open fail.
func Main(m *testing.M, example func()) {
	reexec.Register(child, func([]string) { example() })
	reexec.Main()
	fdleak.Main(m)
}

// Command returns the command of the example with arguments. Another program can start the example too, by
// Path in the environment Env.
func Command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = reexec.Environ(child)
	return cmd
}

// A Process is a started command.
type Process struct {
	PID    int
	cmd    *exec.Cmd
	output [2]output
}

// output holds what a process has written so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start starts cmd, which is killed at the test's end. The caller may have set its output.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd}
	cmd.Stdout, cmd.Stderr = cmp.Or[io.Writer](cmd.Stdout, &p.output[0]), cmp.Or[io.Writer](cmd.Stderr, &p.output[1])
	cmd.WaitDelay = time.Minute // a process that it leaves behind can hold its output
	fdtest.Must(t, cmd.Start())
	p.PID = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error if the test has waited
		if t.Failed() {
			t.Logf("%q printed %q and %q", cmd.Args, &p.output[0], &p.output[1])
		}
	})
	return p
}

// Wait waits for the end, and returns what was written to standard output and standard error.
func (p *Process) Wait() (stdout, stderr string, err error) {
	limit := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer limit.Stop()
	err = p.cmd.Wait()
	return p.output[0].String(), p.output[1].String(), err
}

// Succeeds waits for the end of the process, and fails the test unless its exit status is 0.
func (p *Process) Succeeds(t *testing.T, what string) (stderr string) {
	t.Helper()
	_, stderr, err := p.Wait()
	if err != nil {
		t.Errorf("%s ended with %v, want exit status 0; standard error: %q", what, err, stderr)
	}
	return stderr
}

// stopLimit is longer than an example gives its clients after SIGTERM, and shorter than it gives them otherwise.
const stopLimit = 30 * time.Second

// Stops sends SIGTERM. The function that it returns fails the test unless the process ends in time, with exit status 0.
// Processes that it has started may run on.
func (p *Process) Stops(t *testing.T) (check func(what string)) {
	t.Helper()
	limit := fdtest.Limit(stopLimit)
	start := time.Now()
	fdtest.Must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan string, 1)
	go func() {
		kill := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		state, err := p.cmd.Process.Wait()
		ended <- fmt.Sprintf("%v after %v", cmp.Or[any](err, state), time.Since(start).Round(100*time.Millisecond))
	}()
	return func(what string) {
		t.Helper()
		how := <-ended
		t.Logf("%s: SIGTERM: %s", what, how)
		if !strings.HasPrefix(how, "exit status 0 ") {
			t.Errorf("%s: after SIGTERM, the process ended with %s, want exit status 0 within %v", what, how, limit)
		}
	}
}

// StopsAtOnce sends SIGTERM until the process ends. The process catches only the first one.
func (p *Process) StopsAtOnce(t *testing.T, what string) {
	t.Helper()
	kill := time.AfterFunc(fdtest.Limit(stopLimit), func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	start, ended := time.Now(), make(chan bool)
	defer close(ended)
	go func() {
		for tick := time.Tick(10 * time.Millisecond); ; {
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if the process has ended
			select {
			case <-ended:
				return
			case <-tick:
			}
		}
	}()
	state, err := p.cmd.Process.Wait()
	fdtest.Must(t, err)
	t.Logf("%s: SIGTERM again: %v after %v", what, state, time.Since(start).Round(10*time.Millisecond))
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("%s: after SIGTERM and another one, the process ended with %v, want the signal to end it", what, state)
	}
}

// Prints waits for the end of the process, which must succeed and print exactly this.
func (p *Process) Prints(t *testing.T, want string) {
	t.Helper()
	if stdout, stderr, err := p.Wait(); err != nil || stderr != "" || stdout != want {
		t.Errorf("printed %q and the errors %q, and ended with %v; want %q", stdout, stderr, err, want)
	}
}

// Stdout returns what the process has printed so far.
func (p *Process) Stdout() string { return p.output[0].String() }

// Listens waits until the process prints the line "listening at ADDRESS", and returns the address.
func (p *Process) Listens(t *testing.T) (address string) {
	t.Helper()
	fdtest.Eventually(t, "the process prints where it listens", func() bool {
		_, rest, _ := strings.Cut(p.output[0].String(), "listening at ")
		line, _, whole := strings.Cut(rest, "\n")
		address = line
		return whole
	})
	return address
}

// Must returns the value, and panics if err is not nil.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ReadFlat returns the text of a file without its indentation.
func ReadFlat(name string) string {
	return indentation.ReplaceAllString(string(Must(os.ReadFile(name))), "")
}

var indentation = regexp.MustCompile(`(?m)^[ \t]+`)

// Public copies the program to a directory that other users can enter, and returns the path of the copy.
func Public(t testing.TB) string {
	t.Helper()
	dir := fdtest.ShortDir(t)
	file := filepath.Join(dir, "program")
	if out, err := exec.Command("install", os.Args[0], file).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	fdtest.Must(t, os.Chmod(dir, 0o755))
	return file
}
