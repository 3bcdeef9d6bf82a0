//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A partner that serves a file system, or reads from the file that it has passed, can
// hold up a system call on that file, and not even SIGKILL ends the call then: the
// kernel waits for the partner, also when the process ends and its descriptors are
// closed. So recv runs in a child, the worker, which reports its exit status when its
// output is complete. Its parent, which has no descriptor of the partner, exits with
// that status, whatever holds up the end of the worker.

const (
	workerFlag = "worker" // says that the process is the worker
	workerFD   = 3        // a socket: the parent has the other end

	// workerPatience is how long the worker may take to end after a signal. It does not
	// end if it was stopped, or killed while a partner holds up a call.
	workerPatience = 5 * time.Second
)

// toParent is the worker's socket. In any other process it is nil.
var toParent *os.File

// inWorker runs the command line in a worker, and returns its error. started is false
// where no worker could be started.
func inWorker() (started bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return false, err
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd) // nothing is started beside it
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "worker"), os.NewFile(uintptr(pair[1]), "parent")
	defer ours.Close()
	cmd := exec.Command(self, append(os.Args[1:len(os.Args):len(os.Args)], "--"+workerFlag)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	signals := make(chan os.Signal, 1)
	for _, s := range endings {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		signal.Stop(signals)
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- statusOf(cmd, ours) }()
	var (
		first   os.Signal
		tooLate <-chan time.Time
	)
	for {
		select {
		case err := <-ended:
			return true, err
		case s := <-signals:
			_ = cmd.Process.Signal(s)
			if first == nil {
				first, tooLate = s, time.After(workerPatience)
			}
		case <-tooLate:
			s := first.(syscall.Signal)
			return true, &exitError{128 + int(s), interrupt(s)}
		}
	}
}

// statusOf waits for the exit status of the worker, and returns the error for it.
func statusOf(cmd *exec.Cmd, worker *os.File) error {
	var status [1]byte
	if n, _ := worker.Read(status[:]); n == 1 {
		return withStatus(int(status[0]))
	}
	_ = cmd.Wait() // its state has the error
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return &exitError{128 + int(s.Signal()), interrupt(s.Signal())}
	}
	return withStatus(cmd.ProcessState.ExitCode())
}

// withStatus is the error that makes scm exit so, without a word.
func withStatus(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

// untilParentEnds returns a context that ends with the worker's parent.
func untilParentEnds(ctx context.Context) context.Context {
	toParent = os.NewFile(workerFD, "parent")
	unix.CloseOnExec(workerFD)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = toParent.Read(make([]byte, 1)) // the parent writes nothing
		cancel(errors.New("the process that waits for this one has ended"))
	}()
	return ctx
}

// reportStatus sends the parent the worker's exit status. Whoever reads the worker's
// output waits no longer.
func reportStatus(code int) {
	if toParent == nil {
		return
	}
	for fd := range workerFD {
		_ = unix.Close(fd)
	}
	_, _ = toParent.Write([]byte{byte(code)})
}
