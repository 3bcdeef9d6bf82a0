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
	FDs     []int         // of the pool, in the peer
	Gone    chan struct{} // closed when the peer has ended, and nothing is left of its group
	in, out *os.File      // ends of its standard input and output
	unread  []byte        // that was read from out, and not heard yet
	stderr  tail
	once    sync.Once
	ended   error // how it ended, once Gone is closed
}

// Why there is no answer: the peer hangs or is gone, or the run was cut short.
var (
	ErrHang = errors.New("no answer in time")
	errGone = errors.New("the peer ended")
	ErrCut  = errors.New("cut short")
	ErrLong = fmt.Errorf("longer than %d bytes", contract.MaxLine) // a command, which is not said

	errEndless = errors.New("it does not end")
)

const (
	// DefaultTimeout ends what hangs: no verdict depends on how fast a peer is.
	DefaultTimeout = 10 * time.Second

	// Grace is how long a peer may take to end when its input has, and its output when it has ended.
	Grace = time.Second

	// stopped is added to a time that is over: the runner may have been stopped meanwhile.
	stopped = 100 * time.Millisecond
)

// Start starts the peer as a user, if one is given, and under a recorder, if rec is not
// nil. The peer has duplicates of the descriptors in pool, which stay the caller's.
func Start(p *scenario.Peer, pool []int, as scenario.User, rec *Record) (*Process, error) {
	if len(p.Command) == 0 {
		return nil, errors.New(p.Why)
	}
	command := p.Command
	if as.NoFile > 0 {
		// The runner may not change the limits of another user's process.
		command = append([]string{"/proc/self/exe", limitArgument, strconv.Itoa(as.NoFile)}, command...)
	}
	proc := &Process{Peer: p, Gone: make(chan struct{})}
	cmd := exec.Command(command[0], command[1:]...)
	// A group of its own ends with the peer. The peer does not outlive the runner.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if as.UID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(as.UID), Gid: uint32(as.UID)}
	}
	// A preemption signal of the Go runtime would end a call that waits with a timeout.
	cmd.Env = append(os.Environ(), "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+",asyncpreemptoff=1", ","))
	cmd.Stderr = &proc.stderr
	cmd.WaitDelay = Grace // a process that has left the group may hold the standard error
	defer func() {
		witness.Forking.RLock()
		defer witness.Forking.RUnlock()
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
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
	wait, err := rec.launch(cmd)
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	proc.Pid = cmd.Process.Pid
	go func() {
		rec.awaitEnd(proc.Pid)
		proc.Kill() // whoever it left behind; its own end is not changed any more
		proc.ended = wait()
		close(proc.Gone)
		_ = out.SetReadDeadline(time.Now().Add(Grace)) // whoever has left the group may hold the other end
	}()
	return proc, nil
}

// Kill kills the peer and its process group, which the peer itself may have left.
func (proc *Process) Kill() {
	if !proc.isGone() { // its number may be another's
		_ = unix.Kill(-proc.Pid, unix.SIGKILL) // a peer that has ended is what is wanted
		_ = unix.Kill(proc.Pid, unix.SIGKILL)
	}
}

// Close ends the peer and its process group, and returns how the peer ended.
func (proc *Process) Close() error {
	proc.once.Do(func() {
		proc.in.Close()
		read := make(chan struct{})
		go func() {
			_ = proc.out.SetReadDeadline(time.Time{})
			_, _ = io.Copy(io.Discard, proc.out) // so that it does not wait for room
			close(read)
		}()
		timer := time.AfterFunc(Grace, proc.Kill)
		defer timer.Stop()
		select {
		case <-proc.Gone:
		case <-time.After(Grace + DefaultTimeout):
		}
		proc.out.Close()
		<-read
	})
	if !proc.isGone() {
		return errEndless
	}
	return proc.ended
}

// Say writes a command. The peer may not have answered before.
func (proc *Process) Say(ctx context.Context, command string, timeout time.Duration) error {
	if len(command) > contract.MaxLine {
		return ErrLong
	}
	if proc.Answered() {
		a, err := proc.Hear(ctx, stopped)
		if err != nil {
			return err
		}
		return &ContractError{fmt.Sprintf("spoke unasked: %s", contract.Quote(a))}
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

// Hear waits for the answer.
func (proc *Process) Hear(ctx context.Context, timeout time.Duration) (string, error) {
	text, err := proc.Peek(ctx, timeout)
	if err == nil {
		proc.unread = proc.unread[len(text)+1:]
	}
	return text, err
}

// Peek is Hear, and leaves the answer to be heard again.
func (proc *Process) Peek(ctx context.Context, timeout time.Duration) (string, error) {
	wait := func(d time.Duration) { _ = proc.out.SetReadDeadline(time.Now().Add(d)) }
	wait(timeout)
	defer context.AfterFunc(ctx, func() { wait(0) })()
	room := make([]byte, 4096)
	for late := false; ; {
		if i := bytes.IndexByte(proc.unread, '\n'); i >= 0 && i <= contract.MaxLine {
			text := string(proc.unread[:i])
			if !contract.Printable(text) {
				return "", &ContractError{"not text: " + contract.Quote(text)}
			}
			return text, nil
		}
		if len(proc.unread) > contract.MaxLine {
			return "", &ContractError{fmt.Sprintf("a line longer than %d bytes: %s", contract.MaxLine, contract.Quote(string(proc.unread)))}
		}
		n, err := proc.out.Read(room)
		proc.unread = append(proc.unread, room[:n]...)
		switch {
		case ctx.Err() != nil:
			proc.Kill() // who knows how long it would take
			return "", ErrCut
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && !late:
			late = true // the runner itself may have been stopped: the answer is there, or about to come
			wait(min(stopped, timeout))
		case errors.Is(err, os.ErrDeadlineExceeded) && !proc.isGone():
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

// Answered reports whether the peer has said something that was not heard.
func (proc *Process) Answered() bool {
	n, err := lying(proc.out)
	return len(proc.unread) > 0 || err == nil && n > 0
}

// lying returns how many bytes lie in a pipe.
func lying(pipe *os.File) (n int, err error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); e != nil {
		return 0, e
	}
	return n, err
}

// IsIdle reports whether the peer waits: it has read all commands, and all its threads sleep.
func (proc *Process) IsIdle() (bool, error) {
	if n, err := lying(proc.in); err != nil || n > 0 {
		return false, err
	}
	return witness.Sleeps(proc.Pid)
}

// Ask writes a command and returns the answer.
func (proc *Process) Ask(ctx context.Context, command string, timeout time.Duration) (string, error) {
	if err := proc.Say(ctx, command, timeout); err != nil {
		return "", err
	}
	return proc.Hear(ctx, timeout)
}

// Explain adds to err how the peer ended, and the end of its standard error. A peer that
// lives on is killed here, which is no fact about the peer.
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

// EndedBy reports whether the peer was ended by the signal, or has caught it and says so as a
// shell would.
func (proc *Process) EndedBy(signal syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(proc.Close(), &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == signal || status.ExitStatus() == 128+int(signal))
}

// A ContractError is an answer that is not in the language of the contract.
type ContractError struct{ Text string }

func (e *ContractError) Error() string { return e.Text }

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return display.Readable(strings.TrimSpace(string(t.text)))
}
