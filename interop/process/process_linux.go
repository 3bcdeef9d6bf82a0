package process

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
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
	Numbers []int // of the pool, in the peer
	in      io.WriteCloser
	out     *output // of a program
	Answers chan answer
	Gone    chan struct{} // closed when a program has ended, and is not reaped yet but by a recorder
	stderr  tail
	stop    func() error // ends it, however it is, and returns how it ended
	once    sync.Once
	ended   error
}

type answer struct {
	text string
	err  error
}

// Why there is no answer: the peer hangs or is gone, or the run was cut short.
var (
	ErrHang = errors.New("no answer in time")
	errGone = errors.New("the peer ended")
	ErrCut  = errors.New("cut short")
	ErrLong = fmt.Errorf("longer than %d bytes", contract.MaxLine) // a command, which is not said

	errEndless = errors.New("it does not end")
)

// Grace is how long a peer may take to end when its input has, and its output
// when it has ended.
const Grace = time.Second

// stopped is what is added to a time that is over: it may have passed while the runner was
// stopped, and what it waited for may have happened meanwhile.
const stopped = 100 * time.Millisecond

// Start starts the peer as a user, if one is given, and under a recorder, if rec is not
// nil. The peer has duplicates of the descriptors in pool, which stay the caller's.
func Start(p *scenario.Peer, pool []int, as scenario.User, rec *Record) (*Process, error) {
	switch {
	case p.Serve != nil:
		if rec != nil {
			rec.Add([]string{"it is in the runner's own process, and not recorded"})
		}
		return startInside(p, pool)
	case len(p.Command) > 0:
		return startProgram(p, pool, as, rec)
	}
	return nil, errors.New(p.Why)
}

func startProgram(p *scenario.Peer, pool []int, as scenario.User, rec *Record) (*Process, error) {
	command := p.Command
	if as.NoFile > 0 {
		// The runner may not change the limits of another user's process.
		command = append([]string{"/proc/self/exe", limitArgument, strconv.Itoa(as.NoFile)}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	// A group of its own: what the peer starts ends with it, and a ^C on the
	// terminal is the runner's to handle. It does not outlive the runner, however
	// that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if as.UID > 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(as.UID), Gid: uint32(as.UID)}
	}
	// Go interrupts its own threads by signals, now and then: a call that waits with a
	// timeout would end by one.
	cmd.Env = append(os.Environ(), "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+",asyncpreemptoff=1", ","))
	cmd.WaitDelay = Grace // somebody it started may hold its standard error
	proc := &Process{Peer: p}
	cmd.Stderr = &proc.stderr
	for i, fd := range pool {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(n), "pool")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		proc.Numbers = append(proc.Numbers, 3+i)
	}
	// Pipes of our own: a recorder waits for the command before all that it said is read.
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
	if proc.out, err = newOutput(out); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = stdin, stdout
	if err := keepToOurselves(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	wait, err := rec.launch(cmd)
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	proc.Pid = cmd.Process.Pid
	proc.in = in
	proc.Gone = make(chan struct{})
	go func() {
		rec.awaitEnd(proc.Pid)
		close(proc.Gone)
	}()
	proc.listen(proc.out)
	proc.stop = func() error {
		timer := time.AfterFunc(Grace, proc.Kill) // it does not see the end of its input, or keeps that locked
		in.Close()
		drained := proc.drain()
		select {
		case <-proc.Gone:
			timer.Stop()
		case <-time.After(Grace + DefaultTimeout): // it is another user's by now, whom nobody here may kill
			out.Close()
			return errEndless
		}
		// Whoever it left behind; its own end is not changed any more. A recorder may
		// have reaped it by now, and its number is nobody else's this soon.
		proc.Kill()
		err := wait()
		out.Close() // whoever holds the other end
		<-drained
		return err
	}
	return proc, nil
}

// keepToOurselves makes all descriptors of this process close-on-exec, but 0, 1 and 2: those
// that it has itself inherited are no business of a peer's, nor of a scenario's. A peer
// inside this process does not play meanwhile (see Starting).
func keepToOurselves() error {
	numbers, err := witness.OpenNumbers(os.Getpid())
	for _, n := range numbers {
		if n > 2 {
			_, _ = unix.FcntlInt(uintptr(n), unix.F_SETFD, unix.FD_CLOEXEC) // what was closed meanwhile is not inherited
		}
	}
	return err
}

// starter is a thread that lives as long as this process: a child that is to end
// with its parent ends with the thread that started it.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onOneThread starts a program, with no signal blocked.
func onOneThread(f func() error) error {
	witness.Forking.Lock()
	defer witness.Forking.Unlock()
	done := make(chan error)
	starter() <- func() {
		err := unblockSignals()
		if err == nil {
			err = f()
		}
		done <- err
	}
	return <-done
}

// unblockSignals empties the signal mask of this thread, which a program that it starts
// inherits: the runner may itself have been started with signals blocked.
func unblockSignals() error {
	return os.NewSyscallError("rt_sigprocmask", unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil))
}

func startInside(p *scenario.Peer, pool []int) (*Process, error) {
	proc := &Process{Peer: p, Pid: os.Getpid()}
	for _, fd := range pool {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, n := range proc.Numbers {
				_ = unix.Close(n)
			}
			return nil, err
		}
		proc.Numbers = append(proc.Numbers, n)
	}
	commands, in := io.Pipe()
	out, answers := io.Pipe()
	proc.in = in
	done := make(chan error, 1)
	go func() {
		err := p.Serve(commands, answers)
		commands.CloseWithError(errGone)
		answers.Close()
		done <- err
	}()
	proc.listen(out)
	proc.stop = func() error {
		in.Close()
		proc.drain()
		select {
		case err := <-done:
			return err
		case <-time.After(Grace): // nobody can kill it
			return errEndless
		}
	}
	return proc, nil
}

// Kill kills a peer that is not reaped yet, and its process group, which it may have left.
func (proc *Process) Kill() {
	if proc.Pid != os.Getpid() {
		_ = unix.Kill(-proc.Pid, unix.SIGKILL) // one that has ended is what is wanted
		_ = unix.Kill(proc.Pid, unix.SIGKILL)
	}
}

// drain reads what is still said, to nobody, until there is no more.
func (proc *Process) drain() (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for range proc.Answers {
		}
	}()
	return done
}

// waitExited waits until a child has ended and leaves it to be reaped, so that
// its number cannot be somebody else's yet.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// listen reads answers until there are no more.
func (proc *Process) listen(out io.Reader) {
	proc.Answers = make(chan answer, 4)
	go func() {
		defer close(proc.Answers)
		r := bufio.NewReaderSize(out, contract.MaxLine+len("\n"))
		for {
			l, err := r.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				proc.Answers <- answer{string(l), fmt.Errorf("a line longer than %d bytes", contract.MaxLine)}
				_, _ = io.Copy(io.Discard, r)
				return
			case err != nil && len(l) > 0:
				proc.Answers <- answer{string(l), errGone}
				return
			case err != nil:
				return
			}
			proc.Answers <- answer{text: string(l[:len(l)-1])}
		}
	}()
}

// Say writes a command. The peer may not have answered before. The wait has a limit: a peer
// can fill its pipe, or make it small.
func (proc *Process) Say(ctx context.Context, command string, timeout time.Duration) error {
	if len(command) > contract.MaxLine {
		return ErrLong
	}
	select {
	case a, ok := <-proc.Answers:
		if !ok {
			return errGone
		}
		return &ContractError{fmt.Sprintf("spoke unasked: %s", contract.Quote(a.text))}
	default:
	}
	if in, ok := proc.in.(*os.File); ok {
		if err := in.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return errGone
		}
		defer context.AfterFunc(ctx, func() {
			_ = in.SetWriteDeadline(time.Now()) // it is closed only after this
			proc.Kill()                         // its lock goes with it
		})()
	}
	// A write has a limit of its own, where the peer locks the pipe.
	n, err := witness.Within(timeout+DefaultTimeout, func() (int, error) { return io.WriteString(proc.in, command+"\n") })
	if in, ok := proc.in.(*os.File); ok && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil && in.SetWriteDeadline(time.Now().Add(stopped)) == nil {
		_, err = io.WriteString(proc.in, (command + "\n")[n:])
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ErrCut
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, witness.ErrLocked):
		return ErrHang
	case err != nil:
		return errGone
	}
	return nil
}

// Hear waits for the answer.
func (proc *Process) Hear(ctx context.Context, timeout time.Duration) (string, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a, ok := <-proc.Answers:
		return a.read(ok)
	case <-proc.Gone:
		// What it said before is still to be read, but for that its output may
		// be held open by somebody that it started.
		select {
		case a, ok := <-proc.Answers:
			return a.read(ok)
		case <-time.After(Grace):
			return "", errGone
		}
	case <-timer.C:
		// The runner itself may have been stopped: the answer is there, or about to be read.
		select {
		case a, ok := <-proc.Answers:
			return a.read(ok)
		case <-time.After(stopped):
			return "", ErrHang
		}
	case <-ctx.Done():
		proc.Kill() // who knows how long it would take
		return "", ErrCut
	}
}

// read is the text of an answer, if there is one and it is text.
func (a answer) read(ok bool) (string, error) {
	switch {
	case !ok:
		return "", errGone
	case a.err == errGone:
		return "", fmt.Errorf("%w in the middle of an answer, %s", errGone, contract.Quote(a.text))
	case a.err != nil:
		return "", &ContractError{fmt.Sprintf("%v: %s", a.err, contract.Quote(a.text))}
	case !contract.Printable(a.text):
		return "", &ContractError{"not text: " + contract.Quote(a.text)}
	}
	return a.text, nil
}

// Ask writes a command and returns the answer.
func (proc *Process) Ask(ctx context.Context, command string, timeout time.Duration) (string, error) {
	if err := proc.Say(ctx, command, timeout); err != nil {
		return "", err
	}
	return proc.Hear(ctx, timeout)
}

// Greet says hello, and then a word that no peer can know, so that "unsupported" can be
// believed later.
func (proc *Process) Greet(ctx context.Context, timeout time.Duration) (h contract.Hello, err error) {
	a, err := proc.Ask(ctx, "hello", timeout)
	if err != nil {
		return h, proc.Explain(err)
	}
	if h, err = contract.ParseHello(a); err != nil {
		return h, err
	}
	a, err = proc.Ask(ctx, strings.ToLower(rand.Text())+" height=3", timeout)
	if err != nil {
		return h, proc.Explain(err)
	}
	if a != "unsupported" {
		return h, fmt.Errorf("answered %s to an unknown command, not unsupported", contract.Quote(a))
	}
	return h, nil
}

// Explain adds to err how the peer ended, and the end of its standard error. A peer that
// hangs is killed here, which is no fact about the peer.
func (proc *Process) Explain(err error) error {
	if !errors.Is(err, errGone) && !errors.Is(err, ErrHang) {
		return err
	}
	hangs := errors.Is(err, ErrHang)
	if hangs {
		proc.Kill()
	}
	if how := proc.Close(); how != nil && !(hangs && proc.EndedBy(syscall.SIGKILL)) {
		err = fmt.Errorf("%w: %v", err, how)
	} else if errors.Is(err, errGone) {
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

// Close ends the peer and its process group, and returns how the peer ended.
func (proc *Process) Close() error {
	proc.once.Do(func() {
		// Somebody whom it left behind can lock the pipes, and their close waits then.
		_, proc.ended = witness.Within(2*DefaultTimeout, func() (struct{}, error) { return struct{}{}, proc.stop() })
		if errors.Is(proc.ended, witness.ErrLocked) {
			proc.ended = errEndless
		}
	})
	return proc.ended
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
	if len(t.text) > most {
		t.text = t.text[len(t.text)-most:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return display.Readable(strings.TrimSpace(string(t.text)))
}

// IsIdle reports whether the peer waits: it has read all commands, all its threads sleep,
// and what it has said is in Answers.
func (proc *Process) IsIdle() (bool, error) {
	f, ok := proc.in.(*os.File)
	if !ok {
		return false, errors.New("its input is no pipe")
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	if n, err := unread(conn); err != nil || n > 0 {
		return false, err
	}
	if asleep, err := witness.Sleeps(proc.Pid); err != nil || !asleep {
		return false, err
	}
	return proc.out.isHeard() // what it said before it slept
}

// Thread returns the thread whose descriptor table /proc and kcmp(2) show.
func (proc *Process) Thread() int { return witness.FirstThread(proc.Pid) }

// Starting is held while peers are started, and for reading while one that is
// inside this process plays. A child has copies of all numbers of this process
// until it is the peer's program: a socket that is closed meanwhile is not.
var Starting sync.RWMutex

// DefaultTimeout ends what hangs: no verdict depends on how fast a peer is.
const DefaultTimeout = 10 * time.Second
