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

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// An ExitError is that the command ended in another way than with status 0.
type ExitError struct{ Status unix.WaitStatus }

func (e *ExitError) Error() string {
	if e.Status.Signaled() {
		return "signal: " + e.Status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// Code is what a shell makes of it: the exit status, or 128 and the signal's
// number.
func (e *ExitError) Code() int {
	if e.Status.Signaled() {
		return 128 + int(e.Status.Signal())
	}
	return e.Status.ExitStatus()
}

// Record starts the command and returns, when all of its processes have ended,
// the calls that they made, in the order of their entries. The error is an
// *ExitError if the command, the first of the processes, has failed; the calls
// are there all the same. Another error is that it could not be recorded: then
// it does not run any more.
//
// The command is not started or waited for by the caller, and its ProcessState
// stays nil.
func Record(cmd *exec.Cmd, o Options) ([]Call, error) {
	if err := platform(); err != nil {
		return nil, err
	}
	if !ready {
		return nil, errors.New("a program that records calls recorder.Main first")
	}
	t := newTracer(o)
	var err error
	onThread(func() {
		if err = t.start(cmd); err != nil {
			return
		}
		err = t.loop()
		t.killAll()
		// It was waited for by ptrace; this is for what copies its output.
		_ = cmd.Wait()
		_ = cmd.Process.Release() // Wait finds no child, and leaves the pidfd open
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

// start starts the stub in the place of the command, and seizes it where it stops itself.
// Until the stub is seized, with PTRACE_O_EXITKILL, only Pdeathsig ends it if this process
// is killed. It is sent when this thread ends, which therefore must not be before that.
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
		t.status = status // somebody has ended it
		return nil
	}
	if err == nil {
		err = seize(pid, options|unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESECCOMP)
	}
	if err != nil {
		err = forbidden(pid, err)
		_ = unix.Kill(pid, unix.SIGKILL) // it is ours, and not reaped
		_ = cmd.Wait()
		return err
	}
	t.add(pid, &Process{PID: pid})
	return unix.Kill(pid, unix.SIGCONT)
}

// stubName is the first argument of a program that Record starts in the place of the command,
// from the file of this one.
const stubName = "scm-recorder-stub"

// The words by which the stub learns what it may do for a filter.
const (
	noFilter   = "none"
	mayFilter  = "filter"
	privileged = "no-new-privs" // a filter needs no_new_privs
	atMarks    = "-marks"       // suffix: the filter for sections
)

// filterMode says how the command can get its filter without a change of what it may do.
// Without CAP_SYS_ADMIN a filter needs no_new_privs, which changes nothing for a program whose
// tracer lacks CAP_SYS_PTRACE: it gains no privileges by an exec either.
func (t *tracer) filterMode() string {
	mode := noFilter
	switch {
	case t.o.NoFilter:
		return mode
	case capable(unix.CAP_SYS_ADMIN):
		mode = mayFilter
	case !capable(unix.CAP_SYS_PTRACE):
		mode = privileged
	}
	if t.o.Sections {
		mode += atMarks
	}
	return mode
}

// ready is whether the program has called Main.
var ready bool

// Main is the first call in main of each program that records: it becomes the command that
// Record starts in the place of this program, and returns in all other processes.
func Main() {
	ready = true
	if len(os.Args) < 5 || os.Args[0] != stubName {
		return
	}
	runtime.LockOSThread()
	var err error
	if unix.Gettid() == unix.Getpid() {
		err = stub(os.Args[1], os.Args[2], os.Args[3], os.Args[4:])
	} else if err = setDeathSignal(unix.SIGKILL); err == nil { // each thread has its own
		// The tracer seizes the first thread, which this one is after an exec.
		err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	errno := unix.ENOEXEC
	_ = errors.As(err, &errno)
	os.Exit(int(errno))
}

// stub waits until it is traced, installs the filter and becomes the command, with the
// command's own parent-death signal.
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
	mode, sections := strings.CutSuffix(mode, atMarks)
	if mode == privileged {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			mode = noFilter
		}
	}
	if mode != noFilter && install(filter(sections)) == nil {
		// The tracer takes the first stop by the filter for the news that there is one.
		_, _ = unix.Getpriority(Mark, 0)
	}
	return syscall.Exec(path, args, os.Environ())
}

// setDeathSignal sets the signal that this thread gets when the one that started it ends.
func setDeathSignal(signal unix.Signal) error {
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(signal), 0, 0, 0)
}

func sortCalls(calls []Call) {
	slices.SortFunc(calls, func(a, b Call) int { return a.seq - b.seq })
}

// onThread runs f on a thread that ends with it: the kernel then lets go what
// the thread still traces. It is not the first thread of the process, which Go
// does not end, and none that has started a child, of whose end f would hear.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() || hasChildren() {
			// While this one is held, another goroutine gets another thread.
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// hasChildren reports whether the thread has any to wait for.
func hasChildren() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
	return err != unix.ECHILD
}

// killAll ends what is left after an error. The filter of a started program
// would refuse its calls if it were let go.
func (t *tracer) killAll() {
	for tid := range t.threads {
		_ = unix.Kill(tid, unix.SIGKILL)
	}
	for len(t.threads) > 0 {
		tid, status, err := waitStop(-1)
		if err != nil {
			return
		}
		if status.Stopped() {
			_ = unix.Kill(tid, unix.SIGKILL)
		}
	}
}

// platform reports whether anything can be recorded here.
func platform() error {
	if len(recordable) == 0 {
		return fmt.Errorf("the recorder knows amd64, 386 and arm64, not %s", runtime.GOARCH)
	}
	if !procfs.InOwnNamespace() {
		return errors.New("/proc is that of another PID namespace, where a process of this one has another number: " +
			"mount this one's (mount -t proc proc /proc, or unshare --mount-proc)")
	}
	return nil
}
