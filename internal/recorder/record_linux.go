package recorder

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// An ExitError reports that the command did not exit with status 0.
type ExitError struct{ Status unix.WaitStatus }

func (e *ExitError) Error() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// Code returns the exit status that a shell would report. This is the exit status of the command
// or, if a signal ended it, 128 plus the signal.
func (e *ExitError) Code() int {
	if e.Status.Signaled() {
		return 128 + int(e.Status.Signal())
	}
	return e.Status.ExitStatus()
}

// Record starts the command, waits until all of its processes have ended, and returns their calls in
// the order in which threads entered them. If the command itself failed, Record returns the calls
// and an *ExitError. Any other error means that the command could not be recorded. If the command
// was already running, Record has killed it.
//
// The caller must not start the command or wait for it. Its ProcessState stays nil.
func Record(cmd *exec.Cmd, o Options) ([]Call, error) {
	if err := platform(); err != nil {
		return nil, err
	}
	if !ready {
		return nil, errors.New("the program must call recorder.Main before it can record")
	}
	t := newTracer(o)
	var err error
	ownthread.Run(func() { // whose end makes the kernel detach the threads that it still traces
		if err = t.start(cmd); err != nil {
			return
		}
		err = t.loop()
		t.killAll()
		// The tracer has already waited for the process. Call Wait anyway, because it waits for the
		// goroutines that copy the output of the command.
		_ = cmd.Wait()
		_ = cmd.Process.Release() // Wait finds no child, and does not close the pidfd
	})
	sortCalls(t.calls)
	switch {
	case err != nil:
	case t.starting && t.status.Exited():
		err = &os.PathError{Op: "exec", Path: cmd.Path, Err: syscall.Errno(t.status.ExitStatus())}
	case t.status != 0:
		err = &ExitError{t.status}
	}
	return t.calls, err
}

// start starts the stub for the command, and seizes it after it has stopped itself. If this process is
// killed, PTRACE_O_EXITKILL kills the stub once it is seized, and Pdeathsig kills it until then. The
// kernel sends Pdeathsig when the calling thread ends, so the thread must not end before the stub is seized.
func (t *tracer) start(cmd *exec.Cmd) error {
	path, args, attr := cmd.Path, cmd.Args, cmd.SysProcAttr
	var stubAttr syscall.SysProcAttr
	if attr != nil {
		stubAttr = *attr
	}
	deathSignal := strconv.Itoa(int(stubAttr.Pdeathsig)) // the command's own, which the stub restores
	stubAttr.Pdeathsig = syscall.SIGKILL
	cmd.Path, cmd.SysProcAttr = "/proc/self/exe", &stubAttr
	cmd.Args = append([]string{stubName, t.filterMode(), deathSignal, path}, args...)
	err := cmd.Start()
	cmd.Path, cmd.Args, cmd.SysProcAttr = path, args, attr
	if err != nil {
		return err
	}
	t.process, t.starting = cmd.Process, true
	pid := cmd.Process.Pid
	var status unix.WaitStatus
	if _, err = wait4(pid, &status, unix.WUNTRACED|unix.WALL); err == nil && !status.Stopped() {
		t.status = status // another process has killed it
		return nil
	}
	if err == nil {
		err = seize(pid, options|t.exitOption()|unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESECCOMP)
	}
	if err != nil {
		err = forbidden(pid, err)
		_ = unix.Kill(pid, unix.SIGKILL) // our own child, and not reaped
		_ = cmd.Wait()
		return err
	}
	t.add(pid, &Process{PID: pid}, new(descriptorTable))
	return unix.Kill(pid, unix.SIGCONT)
}

// stubName is args[0] of the stub, which Record starts from the executable of this program.
const stubName = "scm-recorder-stub"

// The filter modes. Record passes one of them to the stub as an argument.
const (
	noFilter   = "none"
	mayFilter  = "filter"
	noNewPrivs = "no-new-privs" // set no_new_privs for the filter
)

// filterMode returns how the stub can install a filter without costing the command any privileges.
// Without CAP_SYS_ADMIN a filter requires no_new_privs. If the tracer lacks CAP_SYS_PTRACE, setting
// no_new_privs makes no difference, because a traced program then gains no privileges through execve anyway.
func (t *tracer) filterMode() string {
	switch {
	case t.o.NoFilter:
	case capable(unix.CAP_SYS_ADMIN):
		return mayFilter
	case !capable(unix.CAP_SYS_PTRACE):
		return noNewPrivs
	}
	return noFilter
}

// ready is set by Main.
var ready bool

// Main must be called first in the main function of a program that uses Record. In the stub it
// executes the command and does not return. In all other processes it returns at once.
func Main() {
	ready = true
	if len(os.Args) < 5 || os.Args[0] != stubName {
		return
	}
	runtime.LockOSThread()
	var err error
	if unix.Gettid() == unix.Getpid() {
		err = stub(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	} else if err = setDeathSignal(unix.SIGKILL); err == nil { // each thread has its own death signal
		// The tracer seizes the first thread. Execute the stub again, so that the calling thread
		// becomes the first thread.
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	errno := unix.ENOEXEC
	_ = errors.As(err, &errno)
	os.Exit(int(errno))
}

// stub waits until it is traced, restores the command's own parent-death signal, installs the
// filter and executes the command.
func stub(mode, deathSignal, path string, args []string) error {
	signal, err := strconv.Atoi(deathSignal)
	if err != nil {
		return err
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return err
	}
	if err := setDeathSignal(unix.Signal(signal)); err != nil {
		return err
	}
	if mode == noNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			mode = noFilter
		}
	}
	if mode != noFilter && install(filter()) == nil {
		// Make a call that the filter stops. The first such stop shows the tracer that the filter
		// is installed.
		_, _ = unix.Getpriority(Mark, 0)
	}
	return syscall.Exec(path, args, os.Environ())
}

// setDeathSignal sets the signal that this thread receives when its parent thread ends.
func setDeathSignal(signal unix.Signal) error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0)
}

func sortCalls(calls []Call) {
	slices.SortFunc(calls, func(a, b Call) int { return a.seq - b.seq })
}

// killAll kills the remaining threads after an error. If they kept running without a tracer, their
// filter would make the recorded calls fail.
func (t *tracer) killAll() {
	for tid := range t.threads {
		_ = unix.Kill(tid, unix.SIGKILL)
	}
	for len(t.threads) > 0 {
		tid, status, err := waitChange(-1, 0)
		if err != nil {
			return
		}
		if status.Stopped() {
			_ = unix.Kill(tid, unix.SIGKILL)
			_ = resume(unix.PTRACE_CONT, tid, 0) // if it has stopped because it ends
		}
	}
}

// platform returns an error if nothing can be recorded on this system.
func platform() error {
	if !Supported() {
		return fmt.Errorf("the recorder supports %s, not %s", strings.Join(Architectures(), ", "), runtime.GOARCH)
	}
	return procfs.Check()
}
