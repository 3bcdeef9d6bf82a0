// Package reexec lets a test binary start itself as another program, a child. Tests need one for a process
// with limits, another user or signals of its own, or for a program that another one starts or traces.
//
// A child has a name and a function. [Register] adds it, [Main] runs it instead of the tests, and [Command]
// starts it. The name is in the environment, so that a shell, strace or any other program can start the child.
package reexec

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Variable is the environment variable with the name of the child.
const Variable = "SCM_TEST_CHILD"

var children = map[string]func(args []string){}

// Register adds a child, whose function gets the arguments of the command. Call it before Main, for example
// when a variable of the package is initialized. It panics if the name is taken, or if it could be the name of
// a test.
func Register(name string, run func(args []string)) {
	if name == "" || isTest(name) || children[name] != nil {
		panic(fmt.Sprintf("reexec: the name %q is not free", name))
	}
	children[name] = run
}

// Name returns the name of the child that this process is, or "" if it runs all tests. In a child that
// TestCommand has started, it returns the name of the test. An init function can call Name to lock a child to
// the first thread.
func Name() string { return os.Getenv(Variable) }

// isTest reports whether a name is that of a test, which package testing runs.
func isTest(name string) bool { return strings.HasPrefix(name, "Test") }

// Main runs the child that this process is, and ends the process with status 0. Otherwise it returns. Call it
// in TestMain before anything that only the tests need.
//
// If this process is not a child, its own children will not inherit the descriptors that a shell, an editor or a
// CI runner has left open in it. Call other packages' Main functions before this one, because the programs that
// they run in this binary pass on what they inherit.
func Main() {
	name := Name()
	if name == "" {
		keepInherited()
	}
	if name == "" || isTest(name) {
		return
	}
	run := children[name]
	if run == nil { // running the tests instead would start further children
		fmt.Fprintf(os.Stderr, "%s=%s: no child has this name\n", Variable, name)
		os.Exit(2)
	}
	run(os.Args[1:])
	os.Exit(0)
}

// Forever waits to be killed. In a program without cgo, Go's runtime may take select {} for a deadlock.
func Forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// Command returns a command that starts a child. The program is found even if the user of the command may not
// search the folders above the test binary.
func Command(name string, args ...string) *exec.Cmd {
	program := self()
	cmd := exec.Command(program[0], append(program[1:], args...)...)
	cmd.Env = Environ(name)
	return cmd
}

// TestCommand returns a command that runs the calling top-level test alone in a child, in which Name returns
// the name of the test.
func TestCommand(t *testing.T) *exec.Cmd {
	return Command(t.Name(), "-test.run=^"+t.Name()+"$", "-test.v")
}

// CommandLine returns the words of a command that starts a child, for a program that runs a command in its own
// environment. It works as long as this process runs.
func CommandLine(name string, args ...string) []string {
	return append(append([]string{"env", Variable + "=" + name}, lasting()...), args...)
}

// Environ returns the environment of this process with the name of a child. A program that runs in it and
// starts the test binary starts the child.
func Environ(name string) []string {
	// By default the race detector sleeps for a second at the end of a process.
	return append(os.Environ(), Variable+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
}

// Under changes a command from Command so that another program, such as strace, starts the child. The words of
// the child's command are appended to args.
func Under(cmd *exec.Cmd, program string, args ...string) error {
	binary, err := os.Executable() // the program would resolve /proc/self/exe to itself
	if err != nil {
		return err
	}
	words := append([]string{program}, args...)
	words = append(words, binary)
	cmd.Path, cmd.Args = program, append(words, cmd.Args[1:]...)
	return nil
}
