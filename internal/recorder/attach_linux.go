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

	"github.com/scm-rights/scm/internal/ownthread"
	"github.com/scm-rights/scm/internal/procfs"
	"golang.org/x/sys/unix"
)

// Attach records a running process with all its threads and descendants, and all processes that they
// start. It returns when all of them have ended or ctx is done. Attach then detaches from the
// remaining processes, which keep running. It returns the calls in the order in which threads entered
// them. Calls that are still in progress when Attach detaches are not included.
//
// If another process already traces a child, Attach calls Options.LeftOut and does not record the
// child. The recorded processes cannot trace each other, because a thread can have only one
// tracer.
//
// The process must not be a child of the caller if it can end before ctx is done. The kernel reports
// a child's exit only once, either to the recorder or to the caller.
func Attach(ctx context.Context, pid int, o Options) ([]Call, error) {
	if err := platform(); err != nil {
		return nil, err
	}
	t := newTracer(o)
	var err error
	tid := 0
	ownthread.Run(func() {
		tid = unix.Gettid()
		err = t.attach(ctx, pid)
	})
	awaitThreadEnd(tid)
	sortCalls(t.calls)
	return t.calls, err
}

func (t *tracer) attach(ctx context.Context, pid int) error {
	if err := t.seizeTree(pid, &Process{PID: pid}, new(descriptorTable)); err != nil {
		return err
	}
	waker, err := newWaker()
	if err != nil {
		return err
	}
	cancel := context.AfterFunc(ctx, waker.wake)
	defer func() {
		if cancel() {
			waker.wake()
		}
		waker.awaitEnd()
	}()
	// When this thread ends, the kernel detaches all threads that it traces. First handle the state
	// changes that the kernel has already reported, because some of them may be signals to deliver
	// to the process.
	for len(t.threads) > 0 && (!waker.ended && !t.ending || len(t.queue) > 0) {
		tid, status, err := t.wait()
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		t.ending = ctx.Err() != nil
		if tid == waker.pid {
			waker.ended = true
			continue
		}
		if err := t.handle(tid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	t.reportRunning()
	return nil
}

// seizeTree attaches to the threads of a process, which use the table d, then to its descendants, but not to the tracer
// if it is one of them. Threads and children that start in the meantime are either listed in /proc or traced
// from their start.
func (t *tracer) seizeTree(pid int, p *Process, d *descriptorTable) error {
	seized := 0
	for again := true; again; {
		again = false
		tids, err := procfs.Tasks(pid)
		if err != nil && seized == 0 {
			return forbidden(pid, unix.ESRCH)
		}
		for _, tid := range tids {
			// An untraced thread that calls execve takes over the ID of the first thread.
			if t.threads[tid] != nil && (tid != pid || t.tracing(tid)) {
				continue
			}
			switch err := t.seize(pid, tid); {
			case errors.Is(err, unix.ESRCH): // it has ended, or after an exec has the ID of the first thread
				again = true
				continue
			case isDenied(err) && t.tracing(tid): // it was traced from its start, or has called execve
			case isDenied(err) && ended(tid):
				continue
			case err != nil:
				return forbidden(tid, err)
			}
			seized++
			again = true
			// The tracer sees the thread's calls only after its next stop, so stop it now.
			switch err := unix.PtraceInterrupt(tid); {
			case errors.Is(err, unix.ESRCH): // it called execve at the same time, and has the ID of the first thread
				delete(t.threads, pid)
			case err != nil:
				return fmt.Errorf("ptrace(PTRACE_INTERRUPT): %w", err)
			default:
				t.add(tid, p, d)
			}
		}
	}
	if seized == 0 {
		return forbidden(pid, unix.ESRCH)
	}
	return t.seizeChildren(pid, p, d)
}

// slow is the time after which a seize is assumed to wait for an exec.
const slow = 50 * time.Millisecond

// seize attaches to a thread of a process. If another thread of the process calls execve at the same
// time, seize blocks until the execve is done. The execve in turn blocks until the tracer has reaped
// the other traced threads of the process. To avoid this deadlock, another thread of the recorder
// reaps traced threads that have ended.
func (t *tracer) seize(pid, tid int) (err error) {
	// EPERM can also mean that an execve has just ended the first thread. The thread that called execve is
	// then taking over its ID.
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

// reap waits for the threads of a process that have ended, except the first thread, and queues
// these changes. It does not wait for stops, because a stop may report a signal that is about to be
// delivered. The signal would be lost if the tracer detached before handling the stop.
func (t *tracer) reap(pid int) {
	tids, _ := procfs.Tasks(pid)
	for _, tid := range tids {
		if tid == pid {
			continue // no execve waits for it, and the parent of the process may wait for its end
		}
		const dumped = 3 // CLD_DUMPED; the si_code of a stop is greater
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

func (t *tracer) seizeChildren(pid int, p *Process, d *descriptorTable) error {
	// The kernel's list of children may be incomplete while a child exits.
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
			below, inherited := p.newChild(child), d.inherit(pid, child)
			err := t.seizeTree(child, below, inherited)
			switch tracer := status(child).Field("TracerPid"); {
			case err == nil, errors.Is(err, unix.ESRCH):
				continue // it is seized or has ended
			case !isDenied(err) || tracer == "0":
				return fmt.Errorf("child %d: %w", child, err)
			}
			if t.o.LeftOut != nil {
				t.o.LeftOut(child, err)
			}
			// Its children may have no tracer.
			if err := t.seizeChildren(child, below, inherited); err != nil {
				return err
			}
		}
	}
	return nil
}

// tracing reports whether the calling thread traces the thread.
func (t *tracer) tracing(tid int) bool {
	return status(tid).Field("TracerPid") == strconv.Itoa(unix.Gettid())
}

// A waker wakes a thread that is waiting for its tracees. It is a child process that is stopped
// before its first instruction and never runs. Killing it makes the wait return.
type waker struct {
	pid   int
	ended bool
}

func newWaker() (*waker, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a child to interrupt the wait: %w", err)
	}
	w := &waker{pid: cmd.Process.Pid}
	_ = cmd.Process.Release()
	_, err := wait4(w.pid, new(unix.WaitStatus), unix.WALL) // the stop of its exec
	return w, err
}

// wake kills the child. It may be called from any thread until awaitEnd has returned.
func (w *waker) wake() { _ = unix.Kill(w.pid, unix.SIGKILL) }

// awaitEnd waits until the child has ended.
func (w *waker) awaitEnd() {
	for !w.ended {
		_, status, err := waitChange(w.pid, 0)
		w.ended = err != nil || !status.Stopped()
	}
}

// awaitThreadEnd waits until a thread of this process has ended.
func awaitThreadEnd(tid int) {
	for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
		runtime.Gosched()
	}
}
