package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// Attach records a running process, its threads, its children and theirs, and
// all that they start from now on, until they have ended or ctx is done. Then
// it lets them go, and they run on. The calls are in the order of their
// entries; one that a thread is in when it is let go is not among them.
//
// A child that another process traces stays with that one, and Options.LeftOut is
// called. The recorded processes cannot trace each other: the kernel gives a thread
// one tracer.
//
// The process is no child of the caller, unless ctx ends before it: the kernel reports
// the end of a child once, to the recorder or to the caller.
func Attach(ctx context.Context, pid int, o Options) ([]Call, error) {
	if err := platform(); err != nil {
		return nil, err
	}
	t := newTracer(o)
	var err error
	tid := 0
	onThread(func() {
		tid = unix.Gettid()
		err = t.attach(ctx, pid)
	})
	awaitEnd(tid)
	sortCalls(t.calls)
	return t.calls, err
}

func (t *tracer) attach(ctx context.Context, pid int) error {
	if err := t.seizeTree(pid, &Process{PID: pid}); err != nil {
		return err
	}
	bell, err := newBell()
	if err != nil {
		return err
	}
	cancel := context.AfterFunc(ctx, bell.ring)
	defer func() {
		if cancel() {
			bell.ring()
		}
		bell.await()
	}()
	// The end of this thread lets go of all that it traces. What was reported of them
	// before is handled: it may be a signal that is theirs.
	for len(t.threads) > 0 && (!bell.gone && !t.ending || len(t.queue) > 0) {
		tid, status, err := t.wait()
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		t.ending = ctx.Err() != nil
		if tid == bell.pid {
			bell.gone = true
			continue
		}
		if err := t.handle(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// seizeTree attaches to the threads of a process, then to its children, but not
// to the tracer if that is one of them. Those that are born meanwhile are
// either in its lists or traced from their birth.
func (t *tracer) seizeTree(pid int, p *Process) error {
	seized := 0
	for again := true; again; {
		again = false
		tids, err := procfs.Tasks(pid)
		if err != nil && seized == 0 {
			return forbidden(pid, unix.ESRCH)
		}
		for _, tid := range tids {
			// The number of the first is another's if one that was not traced has exec'd.
			if t.threads[tid] != nil && (tid != pid || t.tracing(tid)) {
				continue
			}
			switch err := t.seize(pid, tid); {
			case errors.Is(err, unix.ESRCH): // it is gone, or by an exec it has the number of the first
				again = true
				continue
			case errors.Is(err, unix.EPERM) && t.tracing(tid): // it was born traced, or has exec'd
			case errors.Is(err, unix.EPERM) && ended(tid):
				continue
			case err != nil:
				return forbidden(tid, err)
			}
			seized++
			again = true
			// Its calls are seen from its next stop on.
			switch err := unix.PtraceInterrupt(tid); {
			case errors.Is(err, unix.ESRCH): // it exec'd while it was attached to, and has the number of the first
				delete(t.threads, pid)
			case err != nil:
				return fmt.Errorf("ptrace(PTRACE_INTERRUPT): %w", err)
			default:
				t.add(tid, p)
			}
		}
	}
	if seized == 0 {
		return forbidden(pid, unix.ESRCH)
	}
	return t.seizeChildren(pid, p)
}

// slow is after which time a seize is taken to wait for an exec.
const slow = 50 * time.Millisecond

// seize attaches to a thread of a process. If another of its threads execs just then, the
// kernel lets the seize wait until that is done, and the exec until the end of each thread
// that is traced was waited for: so another thread of the recorder does that meanwhile.
func (t *tracer) seize(pid, tid int) (err error) {
	// The exec can end the first thread, which EPERM says as well, and takes its number.
	for range 10 {
		stop, stopped := make(chan struct{}), make(chan struct{})
		late := time.AfterFunc(slow, func() {
			defer close(stopped)
			for t.reap(pid); ; t.reap(pid) {
				select {
				case <-stop:
					return
				case <-time.After(slow):
				}
			}
		})
		err = seize(tid, options)
		if !late.Stop() {
			close(stop)
			<-stopped
		}
		if !errors.Is(err, unix.EPERM) || t.tracing(tid) || ended(tid) {
			break
		}
	}
	return err
}

// reap queues the ends of threads of a process, but not of the first. It leaves their stops,
// which may be signals that get lost if the process is let go before they are seen to.
func (t *tracer) reap(pid int) {
	tids, _ := procfs.Tasks(pid)
	for _, tid := range tids {
		if tid == pid {
			continue // no exec waits for it, and who started the process may wait for its end
		}
		const dumped = 3 // CLD_DUMPED, an si_code; that of a stop is above it
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, tid, &info, unix.WEXITED|unix.WALL|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != nil || info.Signo == 0 || info.Code > dumped {
			continue
		}
		var status unix.WaitStatus
		if n, err := unix.Wait4(tid, &status, unix.WALL|unix.WNOHANG, nil); err == nil && n == tid {
			t.push(tid, status)
		}
	}
}

func (t *tracer) seizeChildren(pid int, p *Process) error {
	// While one of them ends the kernel's list may lack another.
	seen := map[int]bool{unix.Getpid(): true}
	for again := true; again; {
		again = false
		children, err := procfs.Children(pid)
		if err != nil {
			return err
		}
		for _, child := range children {
			if seen[child] || t.tracing(child) {
				continue
			}
			seen[child], again = true, true
			below := p.newChild(child)
			err := t.seizeTree(child, below)
			switch tracer := status(child).Field("TracerPid"); {
			case err == nil, errors.Is(err, unix.ESRCH):
				continue // it has ended, if it was not seized
			case !errors.Is(err, unix.EPERM) || tracer == "0":
				return fmt.Errorf("child %d: %w", child, err)
			}
			if t.o.LeftOut != nil {
				t.o.LeftOut(child, err)
			}
			// Its tracer need not trace these.
			if err := t.seizeChildren(child, below); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended reports whether only the end of a thread is left to be waited for. The
// first of a process stays so until all others have ended.
func ended(tid int) bool {
	s := status(tid)
	return s == "" || s.HasEnded()
}

// tracing reports whether this very thread traces that one.
func (t *tracer) tracing(tid int) bool {
	return status(tid).Field("TracerPid") == strconv.Itoa(unix.Gettid())
}

// A bell wakes a thread that waits for its tracees: its end is one more thing
// that is waited for. It is a child that stands before its first instruction
// and never runs.
type bell struct {
	pid  int
	gone bool
}

func newBell() (*bell, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a child to wait for: %w", err)
	}
	b := &bell{pid: cmd.Process.Pid}
	_ = cmd.Process.Release()
	_, err := wait4(b.pid, new(unix.WaitStatus), unix.WALL) // the stop of its exec
	return b, err
}

// ring may be called from any thread, before await has returned.
func (b *bell) ring() { _ = unix.Kill(b.pid, unix.SIGKILL) }

// await returns when the bell has rung.
func (b *bell) await() {
	for !b.gone {
		_, status, err := waitStop(b.pid)
		b.gone = err != nil || !status.Stopped()
	}
}

// awaitEnd waits until a thread of this process is no more.
func awaitEnd(tid int) {
	for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
		runtime.Gosched()
	}
}
