package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/interop/contract"
	"github.com/scm-rights/scm/interop/display"
	"github.com/scm-rights/scm/interop/scenario"
	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// A Process is a running peer.
type Process struct {
	Peer    *scenario.Peer
	Pid     int
	FDs     []int         // the descriptors of the pool in the peer
	Gone    chan struct{} // closed when the peer and its process group have ended
	in, out *os.File      // the runner's ends of its standard input and output
	unread  []byte        // read from out, but not returned yet
	stderr  display.Tail
	once    sync.Once
	ended   error // how it ended, once Gone is closed
}

// Reasons for a missing answer.
var (
	ErrHang = errors.New("no answer in time")
	errGone = errors.New("the peer ended")
	ErrCut  = errors.New("cut short")
	ErrLong = fmt.Errorf("longer than %d bytes", contract.MaxLine) // the command was not sent

	errEndless = errors.New("the peer does not end")
)

const (
	// DefaultTimeout is the time limit for an answer. No verdict depends on how fast a peer answers within the
	// limit, except where a hang is expected: then a peer that sleeps is not waited for.
	DefaultTimeout = 10 * time.Second

	// Grace is how long a peer may take to exit after the runner has closed its standard input. It is also how
	// long the peer's standard output may stay open after the peer has exited.
	Grace = time.Second

	// smokeGrace is the Grace of Smoke, which may run while the machine is busy and judges how the peer ends.
	smokeGrace = 5 * time.Second

	// stopped extends a timeout that has expired, because the runner may have been stopped (SIGSTOP) in between.
	stopped = 100 * time.Millisecond
)

// StartTimeout returns the time limit for a peer to start and to answer, if it has the given one for an answer alone.
func StartTimeout(answer time.Duration) time.Duration { return max(answer, DefaultTimeout) }

// Start starts the peer. If as is set, the peer runs as that user. If rec is not nil, the peer runs under the
// recorder. The peer receives duplicates of the descriptors in pool; the caller still owns the originals.
func Start(p *scenario.Peer, pool []int, as scenario.User, rec *Recording) (*Process, error) {
	if len(p.Command) == 0 {
		return nil, errors.New(p.Why)
	}
	if err := CloseInheritedOnExec(); err != nil {
		return nil, err
	}
	proc := &Process{Peer: p, Gone: make(chan struct{})}
	cmd := peerCommand(p, as)
	cmd.Stderr = &proc.stderr
	defer func() { closeFiles(cmd.ExtraFiles) }()
	for i, fd := range pool {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(n), "pool"))
		proc.FDs = append(proc.FDs, 3+i)
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	out, stdout, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer stdout.Close()
	proc.in, proc.out = in, out
	cmd.Stdin, cmd.Stdout = stdin, stdout
	rec.watch(pool)
	wait, err := rec.launch(cmd)
	if err != nil {
		in.Close()
		out.Close()
		return nil, explainStart(cmd.Path, err)
	}
	proc.Pid = cmd.Process.Pid
	go proc.awaitEnd(rec, wait)
	return proc, nil
}

// peerCommand returns the command that starts the peer as a user, without its files.
func peerCommand(p *scenario.Peer, as scenario.User) *exec.Cmd {
	command := p.Command
	if as.NoFile > 0 {
		// The runner is not allowed to change the limits of another user's process, so the limit is set before
		// the peer starts.
		command = append([]string{"/proc/self/exe", limitArgument, strconv.Itoa(as.NoFile)}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	// The peer runs in its own process group, which is killed when the peer exits. The peer does not outlive the
	// runner.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if as.UID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(as.UID), Gid: uint32(as.UID)}
	}
	// In a peer written in Go, a preemption signal of the runtime would interrupt a call that waits with a
	// timeout.
	cmd.Env = append(os.Environ(), "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+",asyncpreemptoff=1", ","),
		"GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0") // a test binary with -race sleeps for a second when it exits
	cmd.WaitDelay = Grace // a process that has left the group may keep standard error open
	return cmd
}

// closeFiles closes the runner's duplicates of the files of a pool.
func closeFiles(files []*os.File) {
	witness.Forking.RLock()
	defer witness.Forking.RUnlock()
	for _, f := range files {
		f.Close()
	}
}

// awaitEnd waits until the peer has ended, and closes Gone. The function wait returns how it ended.
func (proc *Process) awaitEnd(rec *Recording, wait func() error) {
	rec.awaitEnd(proc.Pid)
	proc.Kill() // processes that the peer left in its group; the exit status of the peer is fixed already
	if proc.ended = wait(); errors.Is(proc.ended, exec.ErrWaitDelay) {
		proc.ended = errors.New("exit status 0, but a process that it started still has its standard error open")
	}
	close(proc.Gone)
	_ = proc.out.SetReadDeadline(time.Now().Add(Grace)) // a process that has left the group may keep the other end open
}

// explainStart adds the reason to the error of an exec, if the error alone is misleading.
func explainStart(program string, err error) error {
	_, missing := os.Stat(program)
	var on unix.Statfs_t
	_ = unix.Statfs(program, &on) // on failure, no flag is set
	switch {
	case errors.Is(err, unix.ENOENT) && missing == nil:
		return fmt.Errorf("%w (the program exists, but its interpreter or loader does not)", err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("%w (it is not a program for this machine, and a script must begin with #!)", err)
	case errors.Is(err, unix.EACCES) && on.Flags&unix.MS_NOEXEC != 0:
		return fmt.Errorf("%w (its file system is mounted with noexec)", err)
	}
	return err
}

// Kill kills the peer and its process group. The peer itself may have left the group.
func (proc *Process) Kill() {
	if !proc.isGone() { // its pid may have been reused
		_ = unix.Kill(-proc.Pid, unix.SIGKILL) // the error means that the peer has ended
		_ = unix.Kill(proc.Pid, unix.SIGKILL)
	}
}

// Close ends the peer and its process group. Like exec.Cmd.Wait, it returns an error unless the peer exits with
// status 0.
func (proc *Process) Close() error { return proc.closeWithin(Grace) }

// closeWithin is Close with another limit than Grace.
func (proc *Process) closeWithin(grace time.Duration) error {
	proc.once.Do(func() {
		proc.in.Close()
		read := make(chan struct{})
		go func() {
			_ = proc.out.SetReadDeadline(time.Time{})
			_, _ = io.Copy(io.Discard, proc.out) // otherwise the peer could block in a write
			close(read)
		}()
		timer := time.AfterFunc(grace, proc.Kill)
		defer timer.Stop()
		select {
		case <-proc.Gone:
		case <-time.After(grace + DefaultTimeout):
		}
		proc.out.Close()
		<-read
	})
	if !proc.isGone() {
		return errEndless
	}
	return proc.ended
}

// SendCommand writes a command to the peer. It returns a ContractError if the peer has written output before the
// command.
func (proc *Process) SendCommand(ctx context.Context, command string, timeout time.Duration) error {
	if len(command) > contract.MaxLine {
		return ErrLong
	}
	if proc.Answered() {
		a, err := proc.ReadAnswer(ctx, stopped)
		if err != nil {
			return err
		}
		return &ContractError{fmt.Sprintf("printed %s without a command", contract.Quote(a))}
	}
	if err := proc.in.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return errGone
	}
	defer context.AfterFunc(ctx, func() { _ = proc.in.SetWriteDeadline(time.Now()) })()
	_, err := io.WriteString(proc.in, command+"\n")
	switch {
	case err != nil && ctx.Err() != nil:
		proc.Kill()
		return ErrCut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrHang
	case err != nil:
		return errGone
	}
	return nil
}

// ReadAnswer waits for the answer and returns it, with an errno by name even if the peer gave its number.
func (proc *Process) ReadAnswer(ctx context.Context, timeout time.Duration) (string, error) {
	text, err := proc.PeekAnswer(ctx, timeout)
	if err == nil {
		proc.unread = proc.unread[len(text)+1:]
	}
	return contract.NameErrno(text), err
}

// PeekAnswer waits for the answer and returns it without consuming it. The next call of ReadAnswer or PeekAnswer
// returns the same answer.
func (proc *Process) PeekAnswer(ctx context.Context, timeout time.Duration) (string, error) {
	wait := func(d time.Duration) { _ = proc.out.SetReadDeadline(time.Now().Add(d)) }
	wait(timeout)
	defer context.AfterFunc(ctx, func() { wait(0) })()
	buf := make([]byte, 4096)
	for late := false; ; {
		if i := bytes.IndexByte(proc.unread, '\n'); i >= 0 && i <= contract.MaxLine {
			text := string(proc.unread[:i])
			if !contract.Printable(text) {
				return "", &ContractError{"not text: " + contract.Quote(text)}
			}
			return text, nil
		}
		if len(proc.unread) > contract.MaxLine {
			beginning := contract.Quote(string(proc.unread[:200])) + "…" // its length would depend on the reads
			return "", &ContractError{fmt.Sprintf("a line longer than %d bytes: %s", contract.MaxLine, beginning)}
		}
		gone := proc.isGone() // before the read, which then returns all that it has written
		n, err := proc.out.Read(buf)
		proc.unread = append(proc.unread, buf[:n]...)
		switch {
		case ctx.Err() != nil:
			proc.Kill() // the answer might take long
			return "", ErrCut
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && (!late || !gone && proc.isGone()):
			late = true // the runner itself may have been stopped, and the answer may be ready or nearly so
			wait(min(stopped, timeout))
		case errors.Is(err, os.ErrDeadlineExceeded) && !gone:
			return "", ErrHang
		case len(proc.unread) > 0:
			return "", fmt.Errorf("%w in the middle of an answer, %s", errGone, contract.Quote(string(proc.unread)))
		default:
			return "", errGone
		}
	}
}

func (proc *Process) isGone() bool {
	select {
	case <-proc.Gone:
		return true
	default:
		return false
	}
}

// How long the runner sleeps after it has asked whether a peer is idle or has answered. Tests change these.
var afterIdle, afterAnswered time.Duration

// SlowQueries makes the runner sleep after each call of IsIdle and Answered, so that the peer can change its state
// before the runner acts on the result. The function restore undoes this. SlowQueries is for tests.
func SlowQueries(idle, answered time.Duration) (restore func()) {
	oldIdle, oldAnswered := afterIdle, afterAnswered
	afterIdle, afterAnswered = idle, answered
	return func() { afterIdle, afterAnswered = oldIdle, oldAnswered }
}

// Answered reports whether the peer has written output that ReadAnswer has not returned yet.
func (proc *Process) Answered() bool {
	defer time.Sleep(afterAnswered)
	n, err := buffered(proc.out)
	return len(proc.unread) > 0 || err == nil && n > 0
}

// buffered returns the number of bytes in a pipe.
func buffered(pipe *os.File) (n uint32, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetUint32(int(fd), unix.TIOCINQ) }); e != nil {
		return 0, e
	}
	return n, err
}

// IsIdle reports whether the peer has read all commands and all its threads are asleep.
func (proc *Process) IsIdle() (bool, error) {
	defer time.Sleep(afterIdle)
	if n, err := buffered(proc.in); err != nil || n > 0 {
		return false, err
	}
	return witness.Sleeps(proc.Pid)
}

// Ask writes a command to the peer and returns the answer.
func (proc *Process) Ask(ctx context.Context, command string, timeout time.Duration) (string, error) {
	if err := proc.SendCommand(ctx, command, timeout); err != nil {
		return "", err
	}
	return proc.ReadAnswer(ctx, timeout)
}

// Explain adds the exit status of the peer and the last part of its standard error to err. If the peer is still
// running, Explain kills it and does not report SIGKILL as its exit status.
func (proc *Process) Explain(err error) error {
	alive := errors.Is(err, ErrHang)
	if !alive && !errors.Is(err, errGone) {
		return err
	}
	if !alive {
		select {
		case <-proc.Gone:
		case <-time.After(Grace):
			alive, err = true, errors.New("the peer closed its standard output")
		}
	}
	if alive {
		proc.Kill()
	}
	if how := proc.Close(); how != nil && !(alive && proc.EndedBy(syscall.SIGKILL)) {
		err = fmt.Errorf("%w: %v", err, how)
	} else if !alive {
		err = fmt.Errorf("%w: exit status 0", err)
	}
	if text := proc.stderr.String(); text != "" {
		err = fmt.Errorf("%w; standard error: %s", err, text)
	}
	return err
}

// EndedBy reports whether the signal terminated the peer. It also returns true if the peer caught the signal and
// exited with 128 plus the signal number, as a shell does.
func (proc *Process) EndedBy(signal syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(proc.Close(), &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == signal || status.ExitStatus() == 128+int(signal))
}

// A ContractError reports an answer that violates the contract.
type ContractError struct{ Text string }

func (e *ContractError) Error() string { return e.Text }
