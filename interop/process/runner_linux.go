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

// actorArgument, as the only argument, makes a program that calls Main run as the runner's own peer. The peer
// needs a separate process because it has its own descriptors, limits and user. The runner executes its own binary
// as the peer, because no other program is available to both scm and the test binaries.
const actorArgument = "scm-interop-actor"

// limitArgument, followed by a limit of open files and a command, makes a program that calls Main set the limit
// and execute the command.
const limitArgument = "scm-interop-limit"

// Main handles the command lines with which the runner executes its own binary. The runner does so to start its
// own peer, or to run a command with a limit. Its peer does so to find out which descriptors a program inherits.
// For such a command line, Main does not return. A program that runs scenarios must call Main first, and so must
// TestMain in tests that run scenarios.
func Main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == actorArgument:
		reference.Main(scenario.RunnerName)
	case len(os.Args) > 3 && os.Args[1] == limitArgument:
		fmt.Fprintln(os.Stderr, execWithLimit(os.Args[2], os.Args[3:]))
		os.Exit(126)
	case len(os.Args) == 5 && os.Args[1] == reference.InheritedArgument:
		reference.MainInherited(os.Args[2:])
	}
}

// execWithLimit sets the limit and executes the command. It returns only if that fails.
func execWithLimit(files string, command []string) error {
	n, err := strconv.ParseUint(files, 10, 32)
	if err != nil {
		return err
	}
	// Set the hard limit as well, because a Go program raises its soft limit to the hard limit.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	// Start has set the parent-death signal of the first thread only. Exec keeps only the calling thread, so set
	// the signal for that thread too.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, command, os.Environ()))
}

// Runner returns the runner's own peer, which is paired with each of the other peers. It runs in a separate
// process, makes raw system calls and uses none of the libraries under test.
func Runner() (*scenario.Peer, error) {
	p := scenario.RunnerPeer("/proc/self/exe", actorArgument)
	if err := Probe(p, DefaultTimeout); err != nil {
		return p, err
	}
	p.Kernel().Hello = p.Hello
	return p, nil
}
