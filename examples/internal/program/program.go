//go:build unix

// Package program runs an example as a process of its own, which is the test's binary once more.
package program

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Main is for TestMain: it runs the tests or, where Command started the process, the example.
func Main(m *testing.M, example func()) {
	if os.Getenv("SCM_EXAMPLE") == "1" {
		example()
		return
	}
	os.Exit(m.Run())
}

// Command is the example with its arguments.
func Command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SCM_EXAMPLE=1")
	return cmd
}

// A Process is a started command.
type Process struct {
	PID    int
	cmd    *exec.Cmd
	output [2]strings.Builder
}

// Start starts cmd, which is killed at the test's end.
func Start(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.output[0], &p.output[1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.PID = cmd.Process.Pid
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return p
}

// Wait waits for the end, and returns what was written to standard output and standard error.
func (p *Process) Wait() (stdout, stderr string, err error) {
	limit := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer limit.Stop()
	err = p.cmd.Wait()
	return p.output[0].String(), p.output[1].String(), err
}

// Eventually waits until something is true.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// Address returns a TCP address that is free.
func Address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
