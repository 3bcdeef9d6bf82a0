package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"

	"github.com/scm-rights/scm/interop/reference"
	"github.com/scm-rights/scm/interop/scenario"
	"golang.org/x/sys/unix"
)

// With actorArgument as its only argument, a program that calls Main becomes the runner's own peer. The peer needs
// a process of its own, with its own descriptors, limits and user. The runner starts its own binary for that,
// because scm and the test binaries have no other program in common.
const actorArgument = "scm-interop-actor"

// limitArgument is followed by a limit of open files and a command. The program sets the limit and executes the
// command.
const limitArgument = "scm-interop-limit"

// Main handles command lines with which the runner starts its own binary: the runner's peer, and commands with a
// limit. For these it does not return. A program that runs scenarios calls it first, and so does TestMain.
func Main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == actorArgument:
		reference.Main(scenario.RunnerName)
	case len(os.Args) > 3 && os.Args[1] == limitArgument:
		fmt.Fprintln(os.Stderr, execWithLimit(os.Args[2], os.Args[3:]))
		os.Exit(126)
	}
}

// execWithLimit sets the limit and executes the command. It returns only if that fails.
func execWithLimit(files string, command []string) error {
	n, err := strconv.ParseUint(files, 10, 32)
	if err != nil {
		return err
	}
	// The hard limit too: a Go program raises the soft one to it.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	// Start has set the parent-death signal of the first thread only. Of all threads, exec keeps only this one.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, command, os.Environ()))
}

// Runner returns the runner's own peer, which is on one side of each case with another peer. It runs in a process
// of its own, makes raw system calls and uses none of the libraries under test.
func Runner() (*scenario.Peer, error) {
	p := scenario.RunnerPeer("/proc/self/exe", actorArgument)
	if err := Probe(p, DefaultTimeout); err != nil {
		return p, err
	}
	p.Kernel().Hello = p.Hello
	return p, nil
}
