package interop

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

	"github.com/scm-rights/scm/interop/display"
	"golang.org/x/sys/unix"
)

// A process is a running peer.
type process struct {
	peer    *Peer
	pid     int
	numbers []int // of the pool, in the peer
	in      io.WriteCloser
	answers chan answer
	gone    chan struct{} // closed when a program has ended, and is not reaped yet but by a recorder
	stderr  tail
	stop    func() error // ends it, however it is, and tells how it ended
	once    sync.Once
	ended   error
}

type answer struct {
	text string
	err  error
}

// Why there is no answer: the peer hangs or is gone, or the run was cut short.
var (
	errHang = errors.New("no answer in time")
	errGone = errors.New("the peer ended")
	errCut  = errors.New("cut short")
)

// grace is how long a peer may take to end when its input has, and its output
// when it has ended.
const grace = time.Second

// start starts the peer as a user, if one is told, with the numbers of pool, which
// stay the caller's, and under a recorder, if there is a record to fill.
func (p *Peer) start(pool []int, as User, rec *record) (*process, error) {
	switch {
	case p.Serve != nil:
		if rec != nil {
			rec.add([]string{"it is in the runner's own process, and not recorded"})
		}
		return p.startInside(pool)
	case len(p.Command) > 0:
		return p.startProgram(pool, as, rec)
	}
	return nil, errors.New(p.Why)
}

func (p *Peer) startProgram(pool []int, as User, rec *record) (*process, error) {
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
	cmd.WaitDelay = grace // somebody it started may hold its standard error
	proc := &process{peer: p}
	cmd.Stderr = &proc.stderr
	for i, fd := range pool {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(n), "pool")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		proc.numbers = append(proc.numbers, 3+i)
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
	cmd.Stdin, cmd.Stdout = stdin, stdout
	wait, err := rec.launch(cmd)
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	proc.pid = cmd.Process.Pid
	proc.in = in
	proc.gone = make(chan struct{})
	go func() {
		rec.awaitEnd(proc.pid)
		close(proc.gone)
	}()
	proc.listen(out)
	proc.stop = func() error {
		in.Close()
		timer := time.AfterFunc(grace, proc.kill) // it does not see the end of its input
		drained := proc.drain()
		select {
		case <-proc.gone:
			timer.Stop()
		case <-time.After(grace + DefaultTimeout): // it is another user's by now, whom nobody here may kill
			out.Close()
			return errors.New("it does not end")
		}
		// Whoever it left behind; its own end is not changed any more. A recorder may
		// have reaped it by now, and its number is nobody else's this soon.
		proc.kill()
		err := wait()
		out.Close() // whoever holds the other end
		<-drained
		return err
	}
	return proc, nil
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

// forking is held while a child is made: until it is its program, it has copies of
// all numbers of this process, and what is closed here meanwhile is not closed.
var forking sync.RWMutex

// onOneThread starts a program, with no signal blocked.
func onOneThread(f func() error) error {
	forking.Lock()
	defer forking.Unlock()
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

func (p *Peer) startInside(pool []int) (*process, error) {
	proc := &process{peer: p, pid: os.Getpid()}
	for _, fd := range pool {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			for _, n := range proc.numbers {
				_ = unix.Close(n)
			}
			return nil, err
		}
		proc.numbers = append(proc.numbers, n)
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
		case <-time.After(grace): // nobody can kill it
			return errors.New("it does not end")
		}
	}
	return proc, nil
}

// kill ends a program that is not reaped yet, with all of its group, which it may
// have left itself.
func (proc *process) kill() {
	if proc.pid != os.Getpid() {
		_ = unix.Kill(-proc.pid, unix.SIGKILL) // one that has ended is what is wanted
		_ = unix.Kill(proc.pid, unix.SIGKILL)
	}
}

// drain reads what is still said, to nobody, until there is no more.
func (proc *process) drain() (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for range proc.answers {
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
func (proc *process) listen(out io.Reader) {
	proc.answers = make(chan answer, 4)
	go func() {
		defer close(proc.answers)
		r := bufio.NewReaderSize(out, maxLine+len("\n"))
		for {
			l, err := r.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				proc.answers <- answer{string(l), fmt.Errorf("a line longer than %d bytes", maxLine)}
				_, _ = io.Copy(io.Discard, r)
				return
			case err != nil && len(l) > 0:
				proc.answers <- answer{string(l), errGone}
				return
			case err != nil:
				return
			}
			proc.answers <- answer{text: string(l[:len(l)-1])}
		}
	}()
}

// say writes a command. Nothing may have been answered before. A pipe that its reader
// has made small, or filled, would keep the runner waiting for ever.
func (proc *process) say(ctx context.Context, command string, timeout time.Duration) error {
	select {
	case a, ok := <-proc.answers:
		if !ok {
			return errGone
		}
		return &contractError{fmt.Sprintf("spoke unasked: %s", quote(a.text))}
	default:
	}
	if in, ok := proc.in.(*os.File); ok {
		if err := in.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return errGone
		}
		defer context.AfterFunc(ctx, func() { _ = in.SetWriteDeadline(time.Now()) })() // it is closed only after this
	}
	_, err := io.WriteString(proc.in, command+"\n")
	switch {
	case err != nil && ctx.Err() != nil:
		return errCut
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errHang
	case err != nil:
		return errGone
	}
	return nil
}

// hear waits for the answer.
func (proc *process) hear(ctx context.Context, timeout time.Duration) (string, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a, ok := <-proc.answers:
		return a.read(ok)
	case <-proc.gone:
		// What it said before is still to be read, but for that its output may
		// be held open by somebody that it started.
		select {
		case a, ok := <-proc.answers:
			return a.read(ok)
		case <-time.After(grace):
			return "", errGone
		}
	case <-timer.C:
		return "", errHang
	case <-ctx.Done():
		proc.kill() // who knows how long it would take
		return "", errCut
	}
}

// read is the text of an answer, if there is one and it is text.
func (a answer) read(ok bool) (string, error) {
	switch {
	case !ok:
		return "", errGone
	case a.err == errGone:
		return "", fmt.Errorf("%w in the middle of an answer, %s", errGone, quote(a.text))
	case a.err != nil:
		return "", &contractError{fmt.Sprintf("%v: %s", a.err, quote(a.text))}
	case !printable(a.text):
		return "", &contractError{"not text: " + quote(a.text)}
	}
	return a.text, nil
}

func (proc *process) ask(ctx context.Context, command string, timeout time.Duration) (string, error) {
	if err := proc.say(ctx, command, timeout); err != nil {
		return "", err
	}
	return proc.hear(ctx, timeout)
}

// greet says hello, and then a word that nobody could know, so that "unsupported"
// can be believed later.
func (proc *process) greet(ctx context.Context, timeout time.Duration) (h Hello, err error) {
	a, err := proc.ask(ctx, "hello", timeout)
	if err != nil {
		return h, proc.explain(err)
	}
	if h, err = parseHello(a); err != nil {
		return h, err
	}
	a, err = proc.ask(ctx, strings.ToLower(rand.Text())+" height=3", timeout)
	if err != nil {
		return h, proc.explain(err)
	}
	if a != "unsupported" {
		return h, fmt.Errorf("answered %s to an unknown command, not unsupported", quote(a))
	}
	return h, nil
}

// explain adds how the peer ended, and what it wrote to standard error.
func (proc *process) explain(err error) error {
	if !errors.Is(err, errGone) && !errors.Is(err, errHang) {
		return err
	}
	if errors.Is(err, errHang) {
		proc.kill()
	}
	if how := proc.close(); how != nil {
		err = fmt.Errorf("%w: %v", err, how)
	} else if errors.Is(err, errGone) {
		err = fmt.Errorf("%w: exit status 0", err)
	}
	if text := proc.stderr.String(); text != "" {
		err = fmt.Errorf("%w; standard error: %s", err, text)
	}
	return err
}

// close ends the peer and all of its group.
func (proc *process) close() error {
	proc.once.Do(func() { proc.ended = proc.stop() })
	return proc.ended
}

// contractError is an answer in another language than the contract's.
type contractError struct{ text string }

func (e *contractError) Error() string { return e.text }

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
