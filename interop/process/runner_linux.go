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

// actorArgument, alone on the command line, makes a program that calls Main a side that
// the runner plays. There is no other program that the command and its tests have in
// common, and the runner needs a process whose numbers, limits and user are not its own.
const actorArgument = "scm-interop-actor"

// limitArgument, before a number and a command, makes it become the command, with
// so many open files at most.
const limitArgument = "scm-interop-limit"

// Main makes this program what its command line asks of it, if that is a side of the
// runner's or a command with a limit, and does not return then. A program that plays
// scenarios calls it first, and so does TestMain.
func Main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == actorArgument:
		reference.Main(scenario.RunnerName)
	case len(os.Args) > 3 && os.Args[1] == limitArgument:
		fmt.Fprintln(os.Stderr, limited(os.Args[2], os.Args[3:]))
		os.Exit(126)
	}
}

// limited becomes the command. It returns only with an error.
func limited(files string, command []string) error {
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
	// Only the first thread has the signal that Start asked for, and the exec keeps only this one.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, command, os.Environ()))
}

// Runner is the runner as a peer: a name in cases, and the one opposite in
// scenarios that are not for pairs. It is a process of its own, which makes raw
// system calls and uses nothing that is judged.
func Runner() (*scenario.Peer, error) {
	p := scenario.RunnerPeer("/proc/self/exe", actorArgument)
	if err := Probe(p, DefaultTimeout); err != nil {
		return p, err
	}
	p.Kernel().Hello = p.Hello
	return p, nil
}
