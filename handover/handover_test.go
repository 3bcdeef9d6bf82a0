//go:build linux

package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/sys"
)

func TestMain(m *testing.M) {
	reexec.Register("server", runServer)
	reexec.Register("paused", runPaused)
	reexec.Register("exits", func([]string) { os.Exit(3) })
	reexec.Register("prints", func(args []string) {
		p, err := Start(context.Background(), args[0])
		if err == nil {
			_, err = fmt.Println("to a pipe that nothing reads")
			_ = p.Close()
		}
		if !errors.Is(err, syscall.EPIPE) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	})
	reexec.Register("is killed", func([]string) { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} })
	reexec.Main()
	fdleak.Main(m)
}

// timeLimit is how long a test waits for what must happen soon.
const timeLimit = time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	t.Cleanup(cancel)
	return ctx
}

// noLeak fails a test that leaves a descriptor open, also if the collector would close it.
func noLeak(t *testing.T) {
	old := debug.SetGCPercent(-1)
	t.Cleanup(func() { debug.SetGCPercent(old) })
	fdleak.Check(t)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// socketPath returns a path in a new directory.
func socketPath(t *testing.T) string { return filepath.Join(fdtest.ShortDir(t), "socket") }

// A lineHandler calls a function with each record, as a line: LEVEL MESSAGE KEY=VALUE …
type lineHandler struct {
	write func(line string)
	attrs []slog.Attr
}

func (h lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := fmt.Sprint(r.Level, " ", r.Message)
	add := func(a slog.Attr) bool { line += fmt.Sprint(" ", a.Key, "=", a.Value); return true }
	r.Attrs(add)
	for _, a := range h.attrs {
		add(a)
	}
	if strings.Count(line, "handover:") != 1 || strings.ContainsFunc(line, unicode.IsControl) {
		panic(fmt.Sprintf("logged %q", line))
	}
	h.write(line)
	return nil
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.write, slices.Concat(h.attrs, attrs)}
}

func (h lineHandler) WithGroup(string) slog.Handler { panic("there is no group") }

func newLogger(write func(line string)) *slog.Logger { return slog.New(lineHandler{write: write}) }

// logged collects what a Process logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) logger() *slog.Logger {
	return newLogger(func(line string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	})
}

func (l *logged) has(text string) func() bool { return func() bool { return l.count(text) > 0 } }

func (l *logged) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// start starts a Process in this process. A test that hangs ends all tests long before the limit of go test, and prints
// where it waits.
func start(t *testing.T, config Config, path string) *Process {
	t.Helper()
	hangs := time.AfterFunc(fdtest.Limit(4*timeLimit), func() { panic(t.Name() + " hangs") })
	t.Cleanup(func() { hangs.Stop() })
	p, err := config.Start(patient(t), path)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func ready(t *testing.T, p *Process) {
	t.Helper()
	fdtest.Must(t, p.Ready(patient(t)))
}

// startReady starts the first Process at a new path, which serves.
func startReady(t *testing.T, config Config) *Process {
	t.Helper()
	p := start(t, config, socketPath(t))
	ready(t, p)
	return p
}

func listen(t *testing.T, p *Process, name, network, address string) net.Listener {
	t.Helper()
	l, err := p.Listen(patient(t), name, network, address)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// isReplaced waits until a successor has taken over from p.
func isReplaced(t *testing.T, p *Process) {
	t.Helper()
	fdtest.Eventually(t, "the process is replaced", p.isReplaced)
}

// replaces lets another Process take over from p, which must succeed.
func replaces(t *testing.T, p *Process) *Process {
	t.Helper()
	next := start(t, Config{}, p.path)
	ready(t, next)
	isReplaced(t, p)
	return next
}

// fails lets another Process begin to take over from p, and close.
func fails(t *testing.T, p *Process) {
	t.Helper()
	_ = start(t, Config{}, p.path).Close()
	fdtest.Eventually(t, "the attempt has failed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.server.attempt == nil
	})
}

// inBackground returns what f will return.
func inBackground(f func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// upgrades calls p.Upgrade, and returns when it has begun.
func upgrades(ctx context.Context, t *testing.T, p *Process, cmd *exec.Cmd) chan error {
	t.Helper()
	done := inBackground(func() error { return p.Upgrade(ctx, cmd) })
	fdtest.Eventually(t, "the upgrade begins", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.server.upgrade != nil
	})
	return done
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) || strings.Count(err.Error(), "handover:") > 1 {
		t.Errorf("got %v, want an error with %q", err, text)
	}
}

// A script is the other process, which the test plays.
type script struct {
	*peer
	t *testing.T
}

func play(t *testing.T, conn *scm.Conn) *script {
	s := &script{peer: newPeer(conn), t: t}
	_ = conn.SetDeadline(time.Now().Add(timeLimit))
	t.Cleanup(s.close)
	return s
}

// successorOf connects to a Process.
func successorOf(t *testing.T, path string) *script {
	t.Helper()
	conn, err := scm.Dial(patient(t), "unix", path)
	fdtest.Must(t, err)
	return play(t, conn)
}

func (s *script) sends(m message, sockets ...syscall.Conn) {
	s.t.Helper()
	if err := s.send(m, sockets...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) gets(kind string) (m message) {
	s.t.Helper()
	m, err := s.receive(kind)
	if err != nil {
		s.t.Fatalf("got %v, want the message %q", err, kind)
	}
	return m
}

// prepares plays a successor of the unit until it has received the sockets.
func (s *script) prepares(unit string) {
	s.t.Helper()
	s.sends(hello(unit))
	s.gets("sockets")
}

// takesOver plays a successor of the unit until it has received go, which it returns.
func (s *script) takesOver(unit string) message {
	s.t.Helper()
	s.prepares(unit)
	s.sends(message{Type: "ready"})
	return s.gets("go")
}

// letsServe plays a predecessor until p has sent going.
func (s *script) letsServe(p *Process, main bool) {
	s.t.Helper()
	done := readying(s.t, p)
	s.gets("ready")
	s.sends(message{Type: "go", Main: main})
	s.gets("going")
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) getsAbort(reason string) {
	s.t.Helper()
	_, err := s.receive()
	wantError(s.t, err, "the other process has given up: ")
	wantError(s.t, err, reason)
}

func hello(unit string) message {
	return message{Type: "hello", Versions: []int{version}, Needs: timeLimit.Milliseconds(), Unit: unit}
}

// passes lets a Process have a socket or file as if the service manager had passed it.
func passes(p *Process, name string, file *os.File) {
	p.succession.inherited = append(p.succession.inherited, &inherited{socket: socket{Name: name}, file: file})
}

// A predecessor is played by the test.
type predecessor struct {
	t       *testing.T
	path    string
	control *scm.Listener
	life    [2]*os.File
}

func newPredecessor(t *testing.T) *predecessor {
	p := &predecessor{t: t, path: socketPath(t)}
	p.control = must(scm.Listen(patient(t), "unix", p.path))
	p.life[0], p.life[1], _ = os.Pipe()
	t.Cleanup(func() { _ = p.control.Close(); closeFiles(p.life[:]) })
	return p
}

// sockets is the message with the sockets that each predecessor has.
func (p *predecessor) sockets() (message, []syscall.Conn) {
	return message{Type: "sockets", Version: version, Sockets: []socket{{Name: lifeName}, {Name: controlName, Network: "unix"}}},
		[]syscall.Conn{p.life[0], p.control}
}

// starts lets a Process connect, and returns the predecessor's end of the connection, and what Start will return.
func (p *predecessor) starts(config Config) (s *script, started func() (*Process, error)) {
	p.t.Helper()
	var process *Process
	done := inBackground(func() (err error) {
		process, err = config.Start(patient(p.t), p.path)
		return err
	})
	return play(p.t, must(p.control.AcceptConn())), func() (*Process, error) { err := <-done; return process, err }
}

// accepts returns the Process that has received the sockets, and the predecessor's end of the connection.
func (p *predecessor) accepts(config Config) (*Process, *script) {
	p.t.Helper()
	s, started := p.starts(config)
	s.gets("hello")
	m, conns := p.sockets()
	s.sends(m, conns...)
	process, err := started()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = process.Close() })
	return process, s
}

// dies closes everything, as the kernel does.
func (p *predecessor) dies(s *script) {
	s.close()
	p.control.SetUnlinkOnClose(false)
	_ = p.control.Close()
	closeFiles(p.life[:])
}

// unread returns the number of bytes in the receive queue of a socket.
func unread(conn syscall.Conn) (n uint32) {
	_ = withFD(conn, func(fd int) (err error) {
		n, err = unix.IoctlGetUint32(fd, unix.SIOCINQ)
		return err
	})
	return n
}

func readying(t *testing.T, p *Process) chan error {
	return inBackground(func() error { return p.Ready(patient(t)) })
}

func TestSuccessorReceivesSocketsAndFiles(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	first := listen(t, a, "web", "tcp", "127.0.0.1:0")
	packets := must(a.ListenPacket(patient(t), "packets", "udp", "127.0.0.1:0"))
	defer packets.Close()
	state := must(os.CreateTemp(t.TempDir(), "state"))
	defer state.Close()
	fdtest.Must(t, a.Keep("state", state))
	closed := listen(t, a, "closed", "tcp", "127.0.0.1:0")
	closedAddress := closed.Addr().String()
	_ = closed.Close()
	for i := range 2 * batch {
		f := must(os.Open("/dev/null"))
		defer f.Close()
		fdtest.Must(t, a.Keep(fmt.Sprint("file", i), f))
	}
	ready(t, a)

	b := start(t, Config{}, a.path)
	if l := listen(t, b, "web", "tcp", "127.0.0.1:0"); l.Addr().String() != first.Addr().String() {
		t.Errorf("the successor listens at %v instead of %v", l.Addr(), first.Addr())
	}
	c := must(b.ListenPacket(patient(t), "packets", "udp", "127.0.0.1:0"))
	defer c.Close()
	if c.LocalAddr().String() != packets.LocalAddr().String() {
		t.Errorf("the successor receives packets at %v", c.LocalAddr())
	}
	f := b.File("state")
	if f == nil {
		t.Fatal("no file")
	}
	defer f.Close()
	if !os.SameFile(must(f.Stat()), must(state.Stat())) || b.File("state") != nil || b.File("web") != nil {
		t.Error("another file")
	}
	if f := b.File(fmt.Sprint("file", 2*batch-1)); f == nil {
		t.Error("the last file is missing")
	} else {
		_ = f.Close()
	}
	if l := listen(t, b, "closed", "tcp", "127.0.0.1:0"); l.Addr().String() == closedAddress {
		t.Error("received a closed listener")
	}
	ready(t, b)
	isReplaced(t, a)
	if c := replaces(t, b); a.generation != 1 || b.generation != 2 || c.generation != 3 {
		t.Errorf("generations %d, %d and %d", a.generation, b.generation, c.generation)
	}
}

func TestLogger(t *testing.T) {
	var log logged
	a := startReady(t, Config{Logger: log.logger()})
	s := successorOf(t, a.path)
	s.prepares("")
	s.sends(message{Type: "abort", Reason: "no memory"})
	fdtest.Eventually(t, "the attempt has failed", log.has("did not take over"))
	b := start(t, Config{Logger: log.logger()}, a.path)
	ready(t, b)
	isReplaced(t, a)
	pid := fmt.Sprint(" pid=", os.Getpid())
	for text, n := range map[string]int{
		"INFO handover: serving" + pid:                       2,
		"INFO handover: handing over" + pid:                  2,
		"WARN handover: a successor did not take over" + pid: 1,
		"no memory":                     1,
		"INFO handover: replaced" + pid: 1,
		" duration=":                    4,
		" generation=1":                 5,
		" generation=2":                 1,
	} {
		if got := log.count(text); got != n {
			t.Errorf("%d lines with %q, want %d: %q", got, text, n, log.lines)
		}
	}
	if !a.First() || b.First() {
		t.Error("First: ", a.First(), b.First())
	}
}

// A handler may call methods that lock the Process.
func TestLoggerDoesNotHoldTheLock(t *testing.T) {
	var p *Process
	lines := make(chan string, 5)
	p = start(t, Config{Logger: newLogger(func(line string) {
		done := make(chan error, 1)
		go func() { p.attemptOf(-1).wait(); done <- nil }()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(timeLimit):
			t.Errorf("locked: %q", line)
		}
		lines <- line
	})}, socketPath(t))
	ready(t, p)
	start(t, Config{}, p.path).Fail(errors.New("no memory"))
	ready(t, start(t, Config{}, p.path))
	for _, want := range []string{"serving", "handing over", "did not take over", "handing over", "replaced"} {
		if line := <-lines; !strings.Contains(line, want) {
			t.Errorf("logged %q, want %q", line, want)
		}
	}
	<-p.replaced
}

// The predecessor dies before it reads hello, which the kernel reports as ECONNRESET: the successor becomes the first.
func TestSuccessorBecomesTheFirst(t *testing.T) {
	p := newPredecessor(t)
	s, started := p.starts(Config{})
	fdtest.Eventually(t, "hello is in the queue", func() bool { return unread(s.conn) > 0 })
	p.dies(s)
	b := must(started())
	defer b.Close()
	if !b.First() {
		t.Error("it has a predecessor")
	}
	ready(t, b)
	wantError(t, b.Ready(patient(t)), "called before")
	replaces(t, b)
}

// Once going has been sent, the predecessor ends, so the end of ctx no longer matters.
func TestReadySucceedsAfterGoing(t *testing.T) {
	for range 50 {
		p := newPredecessor(t)
		b, s := p.accepts(Config{})
		ctx, cancel := context.WithCancel(context.Background())
		done := inBackground(func() error { return b.Ready(ctx) })
		s.gets("ready")
		s.sends(message{Type: "go"})
		s.gets("going")
		cancel()
		fdtest.Must(t, <-done)
		_ = b.Close()
	}
}

// The predecessor has closed the stream but lives.
func TestReadyFailsIfThePredecessorLives(t *testing.T) {
	deathTime = 50 * time.Millisecond
	defer func() { deathTime = 5 * time.Second }()
	for _, nonblock := range []bool{true, false} { // the pipe of a predecessor in another language is blocking
		p := newPredecessor(t)
		fdtest.Must(t, scm.SetNonblock(p.life[0], nonblock))
		b, s := p.accepts(Config{})
		s.close()
		select {
		case err := <-readying(t, b):
			wantError(t, err, "has not exited")
		case <-time.After(timeLimit):
			t.Fatal("Ready has not returned")
		}
	}
}

// The predecessor died while this process was stopped, and deathTime is over when the process continues.
func TestReadyAfterAPause(t *testing.T) {
	old := deathTime
	deathTime = 0
	defer func() { deathTime = old }()
	for range 20 {
		p := newPredecessor(t)
		b, s := p.accepts(Config{})
		p.dies(s)
		fdtest.Must(t, b.Ready(patient(t)))
		_ = b.Close()
	}
}

// A successor that fails before Ready says why: in the predecessor's log, and in the error of Upgrade.
func TestFail(t *testing.T) {
	var log logged
	a := startReady(t, Config{Logger: log.logger()})
	const reason = "no\x1b[31m\nmemory"
	b := start(t, Config{}, a.path)
	b.Fail(errors.New(reason))
	quoted := fmt.Sprintf("the other process has given up: %q", reason)
	fdtest.Eventually(t, "it is logged", log.has(quoted))
	if err := b.Ready(patient(t)); !errors.Is(err, os.ErrClosed) || b.Close() != nil {
		t.Errorf("Ready after Fail: %v", err)
	}
	// The errors of a program are not those of its connection.
	start(t, Config{}, a.path).Fail(fmt.Errorf("config.json: %w", io.ErrUnexpectedEOF))
	fdtest.Eventually(t, "it is logged", log.has("given up: \"config.json: unexpected EOF\""))
	start(t, Config{}, a.path).Fail(errors.New("long " + strings.Repeat("\x01", 2*maxMessage)))
	fdtest.Eventually(t, "it is logged", log.has("given up: \"long "))
	cmd, _, _ := command(t, reexec.Command("web", a.path, "fails=the disk is full"))
	err := a.Upgrade(patient(t), cmd)
	wantError(t, err, `exit status 1 (the other process has given up: "the disk is full")`)
	if log.count("INFO handover: a successor did not take over") != 1 || log.count("WARN") != 3 { // a program logs the error of Upgrade itself
		t.Errorf("logged %q", log.lines)
	}
	next := replaces(t, a)
	next.Fail(nil)
	if err := next.Upgrade(patient(t), nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Upgrade after Fail: %v", err)
	}
}

// A supervisor closes the pipe of a process's output when the process that it started has exited.
func TestSIGPIPEDoesNotEndTheProcess(t *testing.T) {
	cmd := reexec.Command("prints", socketPath(t))
	r, w, err := os.Pipe()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	fdtest.Must(t, errors.Join(err, r.Close(), cmd.Start(), w.Close(), cmd.Wait()))
}

// A program that ignores SIGPIPE passes that on to other programs, and Notify would end it.
func TestIgnoredSIGPIPE(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	_ = start(t, Config{}, socketPath(t))
	if !signal.Ignored(syscall.SIGPIPE) {
		t.Error("Start has changed what the program set")
	}
}

// Files of Unix sockets are removed by the last process, if one of the processes has created them.
func TestSocketFiles(t *testing.T) {
	p := start(t, Config{}, socketPath(t))
	web, managers := p.path+".web", p.path+".managers"
	manager := must(net.Listen("unix", managers)).(*net.UnixListener)
	manager.SetUnlinkOnClose(false)
	defer os.Remove(managers)
	passes(p, "managers", must(manager.File()))
	_ = manager.Close()
	serves := func(p *Process) (closes func()) {
		t.Helper()
		l, m := listen(t, p, "web", "unix", web), listen(t, p, "managers", "unix", managers)
		if _, ok := l.(*scm.Listener); !ok {
			t.Errorf("a %T", l)
		}
		ready(t, p)
		return func() { _, _ = l.Close(), m.Close() }
	}
	exists := func(want bool, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if _, err := os.Stat(path); (err == nil) != want {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	closes := serves(p)
	for range 2 {
		next := start(t, Config{}, p.path)
		nextCloses := serves(next)
		closes()
		exists(true, p.path, web, managers)
		p, closes = next, nextCloses
	}
	fails(t, p)
	exists(true, p.path, web, managers)
	closes()
	exists(false, web)
	_ = p.Close()
	exists(false, p.path)
	exists(true, managers)
}

// Files at the paths of a process that is not the first may belong to another server.
func TestCloseLeavesTheFilesOfOthers(t *testing.T) {
	replace := func(p *Process) {
		for _, path := range []string{p.path, p.path + ".web"} {
			_ = os.Remove(path)
			other := must(net.Listen("unix", path))
			t.Cleanup(func() { _ = other.Close() })
		}
	}
	never := func(*Process) {}
	for _, c := range []struct {
		what        string
		early, late func(*Process) // before Listen, and after Ready
		lost        bool
	}{
		{"replaced", replace, never, true},
		{"replaced late", never, replace, false},
		{"an older predecessor", func(p *Process) {
			p.succession.controlID = sys.FileID{}
			for _, in := range p.succession.inherited {
				in.FileID = sys.FileID{}
			}
		}, never, false},
		{"moved", func(p *Process) { _ = os.Rename(p.path+".web", p.path); _ = os.Symlink(p.path, p.path+".web") }, never, false},
	} {
		for _, network := range []string{"unix", "unixgram"} {
			a := start(t, Config{}, socketPath(t))
			_, _, _ = bind(t, a, "web", network, a.path+".web")
			ready(t, a)
			var log logged
			b := start(t, Config{Logger: log.logger()}, a.path)
			c.early(b)
			l, _, _ := bind(t, b, "web", network, a.path+".web")
			ready(t, b)
			c.late(b)
			if lost := log.has("cannot reach a received socket")(); lost != c.lost {
				t.Errorf("%s, %s: logged %v", c.what, network, lost)
			}
			if err := errors.Join(l.Close(), b.Close()); err != nil {
				t.Error(err)
			}
			for _, path := range []string{a.path, a.path + ".web"} {
				if _, err := os.Lstat(path); err != nil {
					t.Error(c.what, network, err)
				}
			}
		}
	}
}

// A process that was killed leaves its files.
func TestListenReplacesAStaleFile(t *testing.T) {
	path := socketPath(t)
	for _, stale := range []string{path, path + ".web", path + ".own"} {
		l := must(net.Listen("unix", stale)).(*net.UnixListener)
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
	packets := must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + ".packets", Net: "unixgram"}))
	_ = packets.Close() // which leaves the file
	a := start(t, Config{}, path)
	_ = listen(t, a, "web", "unix", path+".web")
	_ = must(a.ListenPacket(patient(t), "packets", "unixgram", path+".packets")).Close()
	ready(t, a)
	b := start(t, Config{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		l, err := scm.Listen(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return l.UnixListener, nil
	}}, socketPath(t))
	own := listen(t, b, "own", "unix", path+".own")
	ready(t, b)
	c := start(t, Config{}, b.path)
	next := listen(t, c, "own", "unix", path+".own")
	ready(t, c)
	isReplaced(t, b)
	_ = own.Close()
	_ = must(net.Dial("unix", path+".own")).Close()
	_ = next.Close()
	if _, err := os.Lstat(path + ".own"); err == nil {
		t.Error("the file of a socket of Config.Listen remains")
	}
}

func TestListenFindsSocketsByNameAndAddress(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	l := listen(t, a, "web", "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	all := listen(t, a, "all", "tcp4", "0.0.0.0:0")
	_, allPort, _ := net.SplitHostPort(all.Addr().String())
	ready(t, a)
	for _, c := range []struct {
		name, address string
		same          bool
	}{
		{"web", "127.0.0.1:0", true},
		{"web", "127.0.0.1:" + port, true},
		{"web", "localhost:" + port, true},
		{"other", "127.0.0.1:" + port, true},
		{"other", "127.0.0.1:0", false}, // any port, but not that of another socket
		{"other", "localhost:0", false},
		{"web", "127.0.0.2:0", false},
		{"web", "127.0.0.2:" + port, false},
	} {
		b := start(t, Config{}, a.path)
		got, err := b.Listen(patient(t), c.name, "tcp", c.address)
		if err != nil {
			t.Error(c, err)
		} else if same := got.Addr().String() == l.Addr().String(); same != c.same {
			t.Errorf("%v: got %v, the predecessor has %v", c, got.Addr(), l.Addr())
		}
		if got != nil {
			_ = got.Close()
		}
		_ = b.Close()
	}
	b := start(t, Config{}, a.path)
	_, err := b.Listen(patient(t), "new", "tcp4", "127.0.0.1:"+allPort)
	wantError(t, err, `overlaps that of the received socket "all", 0.0.0.0:`+allPort)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v does not wrap EADDRINUSE", err)
	}
	elsewhere := start(t, Config{}, socketPath(t))
	_, err = elsewhere.Listen(patient(t), "all", "tcp4", "0.0.0.0:"+allPort)
	wantError(t, err, "no predecessor was waiting at "+elsewhere.path)
}

func TestListenFindsSocketsOfTheServiceManager(t *testing.T) {
	var log logged
	a := start(t, Config{Logger: log.logger()}, socketPath(t))
	var addresses []string
	for range 2 { // of one socket unit
		l := must(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener)
		addresses = append(addresses, l.Addr().String())
		passes(a, "web", must(l.File()))
		_ = l.Close()
	}
	var pipe [2]int
	fdtest.Must(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[1])
	shared := must(unix.FcntlInt(uintptr(pipe[0]), unix.F_DUPFD_CLOEXEC, 0))
	defer unix.Close(shared)
	passes(a, "file", os.NewFile(uintptr(pipe[0]), "file"))
	if l := listen(t, a, "second", "tcp", addresses[1]); l.Addr().String() != addresses[1] {
		t.Error(l.Addr())
	}
	if l := listen(t, a, "web", "tcp", "127.0.0.2:0"); slices.Contains(addresses, l.Addr().String()) {
		t.Error("a socket with another address: ", l.Addr())
	}
	if f := a.File("file"); f == nil {
		t.Error("no file")
	} else {
		_ = f.Close()
	}
	if flags := must(unix.FcntlInt(uintptr(shared), unix.F_GETFL, 0)); flags&unix.O_NONBLOCK != 0 {
		t.Error("Listen has set O_NONBLOCK in a file that is no socket")
	}
	passes(a, "fifo", os.NewFile(uintptr(must(unix.FcntlInt(uintptr(shared), unix.F_DUPFD_CLOEXEC, 0))), "fifo"))
	passes(a, "netlink", os.NewFile(uintptr(must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0))), "netlink"))
	ready(t, a) // closes the first socket
	if conn, err := net.Dial("tcp", addresses[0]); err == nil {
		t.Error("a socket that was not used is open")
		_ = conn.Close()
	}
	want := "WARN handover: closed received sockets or files that Listen, ListenPacket and File have not returned" +
		" names=[web fifo netlink] addresses=[tcp " + addresses[0] + " not a socket unknown] "
	if !log.has(want)() { // not the socket that Listen returned as "second"
		t.Errorf("%q", log.lines)
	}
}

// The service manager passes a socket that it has stored, and that of the unit. Nothing is lost when one of them is
// closed, so nothing is logged, unless another socket has the same address.
func TestDuplicatesOfASocketInUseAreNotLogged(t *testing.T) {
	for _, c := range []struct {
		network, families string
		same              bool
	}{{"tcp", "4", true}, {"udp", "46", true}, {"tcp", "4", false}} {
		var log logged
		a := start(t, Config{Logger: log.logger()}, socketPath(t))
		port := freePort(t)
		unit, _ := unitSocket(t, c.network, c.families, port)
		stored := os.NewFile(uintptr(must(unix.FcntlInt(unit.Fd(), unix.F_DUPFD_CLOEXEC, 0))), "stored")
		if !c.same {
			_ = stored.Close()
			stored, _ = unitSocket(t, c.network, c.families, port)
		}
		passes(a, "app.socket", unit)
		passes(a, "web", stored)
		bind(t, a, "web", c.network, fmt.Sprint(":", port))
		ready(t, a)
		if logs := log.has("WARN handover: closed received sockets")(); logs == c.same {
			t.Errorf("%+v: %q", c, log.lines)
		}
	}
}

// A program can keep a socket that package net does not know.
func TestDuplicatesOfAKeptSocketAreNotLogged(t *testing.T) {
	var log logged
	a := start(t, Config{Logger: log.logger()}, socketPath(t))
	fd := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0))
	kept := os.NewFile(uintptr(fd), "kept")
	defer kept.Close()
	passes(a, "other", os.NewFile(uintptr(must(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0))), "other"))
	fdtest.Must(t, a.Keep("kept", kept))
	ready(t, a)
	if log.has("closed received")() {
		t.Errorf("%q", log.lines)
	}
}

// If the table is full, that is why package net cannot open a received socket.
func TestListenDoesNotBlameASocketForAFullTable(t *testing.T) {
	full := os.NewSyscallError("socket", unix.EMFILE)
	a := start(t, Config{Listen: func(context.Context, string, string) (net.Listener, error) { return nil, full }}, socketPath(t))
	fd := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0))
	passes(a, "web", os.NewFile(uintptr(fd), "web"))
	if _, err := a.Listen(patient(t), "web", "tcp", "127.0.0.1:0"); err == nil || err.Error() != "handover: socket: too many open files" {
		t.Error(err)
	}
}

// Package net cannot open every socket that a service manager passes, such as one of AF_VSOCK. File returns it.
func TestListenNamesASocketThatPackageNetCannotOpen(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	fd := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0))
	passes(a, "web", os.NewFile(uintptr(fd), "web"))
	_, err := a.Listen(patient(t), "web", "vsock", "1:80")
	wantError(t, err, `package net cannot open the received socket or file "web", so call File to get it: listen vsock: unknown network`)
	if f := a.File("web"); f == nil {
		t.Error("no file")
	} else {
		_ = f.Close()
	}
}

func init() {
	reexec.Register("full", func([]string) {
		_, _ = os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid())), os.Setenv("LISTEN_FDS", "2")
		fdtest.Take() // starts the runtime's poller, which has descriptors of its own
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{})
		_, err := Start(context.Background(), "/none/socket")
		fmt.Print(err, ", open: ", fdtest.IsOpen(3), fdtest.IsOpen(4))
	})
}

// If Start cannot make files from the service manager's descriptors, it closes them. That of /dev/random takes another.
func TestStartWithoutDescriptors(t *testing.T) {
	random := must(os.Open("/dev/random"))
	defer random.Close()
	cmd := reexec.Command("full")
	cmd.ExtraFiles = []*os.File{random, os.Stdin}
	out, err := cmd.Output()
	if want := "handover: eventfd2: too many open files, open: false false"; string(out) != want || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}

// A connection has the address of the listener that accepted it.
func TestListenTakesNoConnection(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	client := must(net.Dial("tcp", l.Addr().String()))
	defer client.Close()
	conn := must(l.Accept()).(*net.TCPConn)
	_ = l.Close()
	packets := must(net.Dial("udp", "127.0.0.1:9")).(*net.UDPConn)
	for _, c := range []interface {
		net.Conn
		File() (*os.File, error)
	}{conn, packets} {
		passes(a, "web", must(c.File()))
		_ = c.Close()
	}
	web := listen(t, a, "web", "tcp", conn.LocalAddr().String())
	if second, err := net.Dial("tcp", web.Addr().String()); err != nil {
		t.Error(err)
	} else {
		_ = second.Close()
	}
	_, err := a.ListenPacket(patient(t), "packets", "udp", packets.LocalAddr().String())
	wantError(t, err, "overlaps that of the received socket")
}

func TestNames(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	l := listen(t, a, "web", "tcp", "127.0.0.1:0")
	f := must(os.Open(os.DevNull))
	fdtest.Must(t, a.Keep("state", f))
	for name, want := range map[string]error{
		"": os.ErrInvalid, "a:b": os.ErrInvalid, "a\nb": os.ErrInvalid, "é": os.ErrInvalid, strings.Repeat("n", 256): os.ErrInvalid,
		"web": os.ErrExist, "state": os.ErrExist,
	} {
		_, err := a.Listen(patient(t), name, "tcp", "127.0.0.1:0")
		if kept := a.Keep(name, os.Stdin); !errors.Is(err, want) || !errors.Is(kept, want) {
			t.Errorf("%q: %v, %v", name, err, kept)
		}
	}
	if err := a.Keep("nil", nil); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("no file: %v", err)
	}
	_, _ = l.Close(), f.Close()
	_ = listen(t, a, "web", "tcp", "127.0.0.1:0") // the name is free again
}

// A successor does not get what a program adds to a listener, so the first process does not get it either.
func TestListenersAreTheSameInEachProcess(t *testing.T) {
	noLeak(t)
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute}}
	called := 0
	own := func(ctx context.Context, network, address string) (net.Listener, error) {
		called++
		return lc.Listen(ctx, network, address)
	}
	networks := []string{"tcp", "unix"}
	for _, network := range networks {
		for what, config := range map[string]Config{"no Config": {}, "Config.Listen": {Listen: own}} {
			path, name := socketPath(t), "web"
			var last *Process
			for n := range 3 {
				p := start(t, config, path)
				address := path + ".web"
				if network == "tcp" {
					address = "127.0.0.1:0"
				}
				l := listen(t, p, name, network, address)
				ready(t, p)
				if last != nil {
					isReplaced(t, last)
				}
				client := must(net.Dial(network, l.Addr().String()))
				conn := must(l.Accept())
				got := fmt.Sprintf("%T %T", l, conn)
				want := "*scm.Listener *scm.Conn"
				if network == "tcp" {
					want = "*net.TCPListener *net.TCPConn 15"
					_ = withFD(conn.(syscall.Conn), func(fd int) error {
						got += fmt.Sprint(" ", must(unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)))
						return nil
					})
				}
				if got != want {
					t.Errorf("%s, %s, generation %d: got %s, want %s", what, network, n+1, got, want)
				}
				_, _ = client.Close(), conn.Close()
				last = p
			}
		}
	}
	if called != len(networks) {
		t.Errorf("Config.Listen was called %d times, want once in each first process", called)
	}
}

// The first process rejects a listener if its successors could not get the same one.
func TestConfigListenRejectsOtherTypes(t *testing.T) {
	noLeak(t)
	var made net.Listener
	p := start(t, Config{Listen: func(context.Context, string, string) (net.Listener, error) { return made, nil }}, socketPath(t))
	tcp := func() *net.TCPListener { return must(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener) }
	type wrapper struct{ *net.TCPListener } // with a SyscallConn method
	closed := tcp()
	_ = closed.Close()
	for _, c := range []struct {
		made net.Listener
		want []string
	}{
		{must(scm.Listen(patient(t), "unix", p.path+".web")), []string{"*scm.Listener", "set Config.Unix instead"}},
		{wrapper{tcp()}, []string{"a handover.wrapper", "wrap the result of Process.Listen instead", "Keep"}},
		{struct{ net.Listener }{tcp()}, []string{"a struct", "wrap the result of Process.Listen instead", "Keep"}},
		{closed, []string{"use of closed network connection"}},
	} {
		made = c.made
		l, err := p.Listen(patient(t), "web", "unix", p.path+".web")
		if l != nil || c.made != net.Listener(closed) && !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%T: got %v, %v", c.made, l, err)
		}
		for _, text := range c.want {
			wantError(t, err, text)
		}
		if err := c.made.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%T is open: %v", c.made, err)
		}
	}
	if _, err := os.Lstat(p.path + ".web"); err == nil {
		t.Error("the file of the listener remains")
	}
}

// In every process, Config.Unix guards the sockets, whether they were created, or received from the predecessor or the
// service manager.
func TestConfigUnix(t *testing.T) {
	noLeak(t)
	manager := func(p *Process) {
		l := must(net.ListenUnix("unix", &net.UnixAddr{Name: p.path + ".web", Net: "unix"}))
		packets := must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.path + ".packets", Net: "unixgram"}))
		l.SetUnlinkOnClose(false)
		for _, f := range []*os.File{must(l.File()), must(packets.File())} {
			passes(p, "of a unit", f)
		}
		_, _ = l.Close(), packets.Close()
	}
	for what, c := range map[string]struct {
		listen func(context.Context, string, string) (net.Listener, error)
		before func(*Process)
		mode   os.FileMode
	}{
		"created":                    {nil, func(*Process) {}, 0o600},
		"created with Config.Listen": {new(net.ListenConfig).Listen, func(*Process) {}, 0},
		"of the service manager":     {nil, manager, 0},
	} {
		path, name := socketPath(t), "web"
		for n := range 3 {
			asked := 0
			p := start(t, Config{Listen: c.listen, Unix: scm.Config{
				Mode:   c.mode,
				Expect: &scm.Expect{}, // no files
				Check: func(*scm.Conn) error {
					if asked++; asked == 1 {
						return errors.New("not the first one")
					}
					return nil
				},
			}}, path)
			if n == 0 {
				c.before(p)
			}
			l := listen(t, p, name, "unix", path+".web")
			packets := must(p.ListenPacket(patient(t), name+"-packets", "unixgram", path+".packets")).(*scm.Conn)
			defer packets.Close()
			ready(t, p)
			for range 2 {
				client := must(scm.Dial(patient(t), "unix", path+".web"))
				defer client.Close()
				_ = must(client.WriteFiles([]byte("x"), os.Stdin))
			}
			conn := must(l.Accept()).(*scm.Conn)
			defer conn.Close()
			sender := must(scm.DialPacket(patient(t), "unixgram", "", path+".packets"))
			defer sender.Close()
			_ = must(sender.WriteFiles([]byte("x"), os.Stdin))
			for _, guarded := range []*scm.Conn{conn, packets} {
				_, files, err := guarded.ReadFiles(make([]byte, 1), 1)
				var rejected *scm.ExpectError
				if asked != 2 || !errors.As(err, &rejected) {
					t.Errorf("%s, generation %d: Check was called %d times, ReadFiles returned %d files, %v", what, n+1, asked, len(files), err)
				}
			}
			for _, file := range []string{".web", ".packets"} {
				if mode := must(os.Stat(path + file)).Mode().Perm(); c.mode != 0 && mode != c.mode {
					t.Errorf("%s: %s has the mode %v", what, file, mode)
				}
			}
			name += "r" // another name in the next process
		}
	}
}

// An invalid Config.Unix is an error in every process, which names the reason.
func TestConfigUnixIsInvalid(t *testing.T) {
	noLeak(t)
	a := start(t, Config{}, socketPath(t))
	listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	_, err := Config{Unix: scm.Config{Mode: os.ModeSetuid | 0o600}}.Start(patient(t), a.path)
	wantError(t, err, "must contain only permissions (0777)")

	invalid := Config{Listen: new(net.ListenConfig).Listen, Unix: scm.Config{Expect: &scm.Expect{Min: scm.MaxFDs + 1}}}
	for _, p := range []*Process{start(t, invalid, socketPath(t)), start(t, invalid, a.path)} {
		_, err := p.Listen(patient(t), "web", "unix", p.path+".web")
		wantError(t, err, "Expect requires")
	}
}

// A Config.Unix.Mode with which the first process fails is an error in its successors too. It does not apply to sockets
// of a service manager.
func TestModeThatCannotApply(t *testing.T) {
	noLeak(t)
	listen := new(net.ListenConfig).Listen
	for _, c := range []struct {
		network        string
		before, listen func(context.Context, string, string) (net.Listener, error) // Config.Listen of each version
		abstract, unit bool
		want           string
	}{
		{"unix", nil, listen, false, false, "has no effect on a socket of Config.Listen"},
		{"unix", listen, listen, false, false, "has no effect on a socket of Config.Listen"},
		{"unixpacket", nil, listen, false, false, "has no effect on a socket of Config.Listen"},
		{"unixgram", nil, listen, false, false, ""}, // ListenPacket does not use Config.Listen
		{"unix", nil, listen, false, true, ""},
		{"unix", nil, listen, true, false, "has no effect on a socket of Config.Listen"},
		{"unix", listen, listen, true, false, "has no effect on a socket of Config.Listen"},
		{"unix", nil, nil, true, false, "cannot set the mode 0600 of Config.Unix for the abstract name"},
		{"unix", listen, nil, true, false, "cannot set the mode 0600 of Config.Unix for the abstract name"},
		{"unixgram", nil, nil, true, false, "cannot set the mode 0600 of Config.Unix for the abstract name"},
		{"unix", nil, nil, true, true, ""},
		{"unix", nil, nil, false, false, ""},
		{"unix", listen, nil, false, false, ""},
	} {
		listens := func(p *Process) error {
			address := p.path + ".web"
			if c.abstract {
				address = "@" + address
			}
			if c.unit && p.First() {
				l := must(net.ListenUnix(c.network, &net.UnixAddr{Name: address, Net: c.network}))
				defer l.Close()
				l.SetUnlinkOnClose(false)
				passes(p, "of a unit", must(l.File()))
			}
			var l io.Closer
			var err error
			if c.network == "unixgram" {
				l, err = p.ListenPacket(patient(t), "web", c.network, address)
			} else {
				l, err = p.Listen(patient(t), "web", c.network, address)
			}
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		}
		config := Config{Unix: scm.Config{Mode: 0o600}, Listen: c.listen}
		a := start(t, Config{Listen: c.before}, socketPath(t))
		fdtest.Must(t, listens(a))
		ready(t, a)
		for _, p := range []*Process{start(t, config, socketPath(t)), start(t, config, a.path)} {
			err := listens(p)
			if c.want == "" && err != nil || c.want != "" && !errors.Is(err, os.ErrInvalid) {
				t.Errorf("%+v: %v", c, err)
			} else if c.want != "" {
				wantError(t, err, c.want)
			}
			if _, err := os.Lstat(p.path + ".web"); c.want != "" && p.First() && err == nil {
				t.Error("the file of the listener remains")
			}
		}
	}
}

// Fault T20: Start ends with ctx, also if the first process never calls Ready.
func TestStartReportsItsContext(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, a.path); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := Start(ctx, a.path); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ready(t, a)
}

// overdue is a context whose deadline has passed, but whose timer has not run yet, as on a busy machine.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Unix(1, 0), true }

// A timeout of package net does not say that it is the end of ctx.
func TestStartReportsItsContextBeforeItsTimer(t *testing.T) {
	_, err := Start(overdue{context.Background()}, filepath.Join(fdtest.ShortDir(t), "socket"))
	if err == nil || err.Error() != "handover: context deadline exceeded" {
		t.Error(err)
	}
}

// Only a running process is a reason to wait.
func TestStartReportsWhyThePathCannotBeUsed(t *testing.T) {
	noLeak(t)
	dir := fdtest.ShortDir(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	fdtest.Must(t, errors.Join(os.WriteFile(path("file"), nil, 0o600), os.Mkdir(path("directory"), 0o700), os.Symlink("nowhere", path("link"))))
	for _, name := range []string{"file", "directory", "link"} {
		ctx := patient(t)
		if _, err := Start(ctx, path(name)); !errors.Is(err, scm.ErrInUse) || ctx.Err() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Start(patient(t), path("missing/socket")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	_, err := Start(patient(t), "@name")
	wantError(t, err, "is not the path of a file")
}

// A process that has bound the path and does not listen yet is a reason, too, and is logged once.
func TestStartWaitsForAProcess(t *testing.T) {
	noLeak(t)
	path := socketPath(t)
	socket := must(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer scm.CloseFDs(socket)
	fdtest.Must(t, unix.Bind(socket, &unix.SockaddrUnix{Name: path}))
	var binding logged
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(patient(t))
	go func() {
		_, err := Config{Logger: binding.logger()}.Start(ctx, path)
		failed <- err
	}()
	fdtest.Eventually(t, "it is logged", binding.has("waiting for the process at the path path="+path+" err=it accepts no connection"))
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || len(binding.lines) != 1 {
		t.Error(err, binding.lines)
	}

	a := start(t, Config{}, socketPath(t))
	var log logged
	started := make(chan *Process)
	go func() { started <- must(Config{Logger: log.logger()}.Start(patient(t), a.path)) }()
	fdtest.Eventually(t, "it is logged", log.has("it has not called Ready, or another process is taking over"))
	ready(t, a)
	_ = (<-started).Close()
}

// runServer is a program with the arguments PATH [WAIT]. It prints "serving EXECUTABLE", upgrades on SIGHUP, and exits
// when it is replaced or its standard input ends.
func runServer(args []string) {
	ctx := context.Background()
	p := must(Start(ctx, args[0]))
	if len(args) > 1 { // the relative path of this program no longer leads to it
		if err := os.Chdir(args[1]); err != nil {
			panic(err)
		}
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	if err := p.Ready(ctx); err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	fmt.Println("serving", os.Getpid(), must(os.Readlink("/proc/self/exe")))
	for {
		select {
		case <-hangup:
			if err := p.Upgrade(ctx, nil); err != nil {
				fmt.Println("failed", err)
			}
		case <-p.Replaced():
			return
		}
	}
}

// runPaused takes over, but between go and going it prints "told", and waits for a line.
func runPaused(args []string) {
	conn := must(scm.Dial(context.Background(), "unix", args[0]))
	p := newPeer(conn)
	send := func(m message) {
		if err := p.send(m); err != nil {
			panic(err)
		}
	}
	receive := func(kind string) {
		_ = must(p.receive(kind))
	}
	send(hello(""))
	receive("sockets")
	send(message{Type: "ready"})
	receive("go")
	fmt.Println("told", os.Getpid())
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if line != "go\n" {
		os.Exit(3)
	}
	send(message{Type: "going"})
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// command returns a command with pipes for its input and the lines of its output.
func command(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	r, w, err := os.Pipe()
	fdtest.Must(t, err)
	in, out, err := os.Pipe()
	fdtest.Must(t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, out, os.Stderr
	t.Cleanup(func() { closeFiles([]*os.File{r, w, in, out}) })
	return cmd, w, bufio.NewScanner(in)
}

func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatal("no further line")
	}
	return lines.Text()
}

func TestUpgrade(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	cmd, _, lines := command(t, reexec.Command("server", a.path))
	wantError(t, a.Upgrade(patient(t), cmd), "before Ready")
	ready(t, a)
	fdtest.Must(t, a.Upgrade(patient(t), cmd))
	defer cmd.Process.Kill()
	if got := next(t, lines); !strings.HasPrefix(got, fmt.Sprint("serving ", cmd.Process.Pid)) {
		t.Error(got)
	}
	wantError(t, a.Upgrade(patient(t), reexec.Command("exits")), "a successor has replaced this process")
	b := start(t, Config{}, a.path)
	ready(t, b) // which ends the child
	_ = b.Close()
	if err := b.Upgrade(patient(t), reexec.Command("exits")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestUpgradeReportsAFailure(t *testing.T) {
	a := startReady(t, Config{})
	wantError(t, a.Upgrade(patient(t), reexec.Command("exits")), "exit status 3")
	wantError(t, a.Upgrade(patient(t), exec.Command("/missing")), "/missing")
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Upgrade(canceled, reexec.Command("exits")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// Fault T6.
	cmd := exec.CommandContext(patient(t), "true")
	if err := a.Upgrade(patient(t), cmd); !errors.Is(err, os.ErrInvalid) || cmd.Process != nil {
		t.Error(err)
	}
	replaces(t, a)
}

// A successor that does not become ready is killed when ctx is done. A stray connection and a second Upgrade do not end
// the first (fault T5).
func TestUpgradeKillsASuccessorOnlyBeforeGo(t *testing.T) {
	var log logged
	a := startReady(t, Config{Logger: log.logger()})
	cmd, _, _ := command(t, exec.Command("cat"))
	ctx, cancel := context.WithCancel(patient(t))
	done := upgrades(ctx, t, a, cmd)
	wantError(t, a.Upgrade(patient(t), reexec.Command("exits")), "another call to Upgrade")
	s := successorOf(t, a.path)
	s.sendsRaw("stray")
	fdtest.Eventually(t, "the stray connection is rejected", log.has("invalid message"))
	s = successorOf(t, a.path)
	s.prepares("")
	s.close()
	fdtest.Eventually(t, "the attempt of another process fails", log.has("err=EOF"))
	select {
	case err := <-done:
		t.Fatal("Upgrade has returned: ", err)
	default:
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	replaces(t, a)
}

// ctx ends after the message go, or Close is called then.
func TestUpgradeNeverKillsAProcessThatMayServe(t *testing.T) {
	for i, answer := range []string{"go\n", "go\n", "die\n"} {
		a := startReady(t, Config{})
		cmd, in, lines := command(t, reexec.Command("paused", a.path))
		ctx, cancel := context.WithCancel(context.Background())
		done := upgrades(ctx, t, a, cmd)
		told := next(t, lines)
		if i == 1 {
			_ = a.Close()
		}
		cancel()
		if _, err := io.WriteString(in, answer); err != nil {
			t.Fatal(err)
		}
		err := <-done
		if answer == "die\n" {
			wantError(t, err, "exit status 3")
			replaces(t, a)
			continue
		}
		if err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("%s: %v", told, err)
		}
		_ = in.Close() // ends it
		_ = a.Close()
		_ = os.Remove(a.path)
	}
}

// A successor that exits when ctx ends is reported with its exit status, even if Upgrade learns of the exit last.
func TestUpgradeReportsAnExitBeforeTheKill(t *testing.T) {
	a := startReady(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cmd, exited := reexec.Command("exits"), make(chan error)
	status := cmd.Run()
	a.server.upgrade = new(upgrade)
	go func() {
		for killed := 0; killed == 0; runtime.Gosched() {
			a.mu.Lock()
			killed = a.server.upgrade.killed
			a.mu.Unlock()
		}
		exited <- status
	}()
	wantError(t, a.await(ctx, cmd, exited), "exit status 3")
	if a.server.upgrade.killed != 0 { // a process whose PID cannot be seen would be taken for it
		t.Error("the PID of the successor that was killed is remembered")
	}
	a.server.upgrade = nil
}

// A pipe to a goroutine of this process would end with it, and with the pipe the successor.
func TestUpgradeRejectsPipesToItself(t *testing.T) {
	a := startReady(t, Config{})
	for _, set := range []func(*exec.Cmd){
		func(cmd *exec.Cmd) { cmd.Stdin = strings.NewReader("") },
		func(cmd *exec.Cmd) { cmd.Stdout = new(strings.Builder) },
		func(cmd *exec.Cmd) { cmd.Stderr = new(strings.Builder) },
	} {
		cmd := reexec.Command("exits")
		set(cmd)
		if err := a.Upgrade(patient(t), cmd); !errors.Is(err, os.ErrInvalid) || cmd.Process != nil {
			t.Error(err, cmd.Process)
		}
	}
}

// The file system of the PID file does not respond. That delays only Ready and Close. No file remains.
func TestCloseDuringReady(t *testing.T) {
	for _, first := range []bool{true, false} {
		config := Config{PIDFile: socketPath(t)}
		writes, responds := make(chan bool), make(chan bool)
		createTemp = func(dir, pattern string) (*os.File, error) {
			close(writes)
			<-responds
			return os.CreateTemp(dir, pattern)
		}
		pre := newPredecessor(t)
		var p *Process
		var s *script
		if first {
			p = start(t, config, socketPath(t))
		} else {
			p, s = pre.accepts(config)
		}
		done := readying(t, p)
		if !first {
			s.gets("ready")
			s.sends(message{Type: "go"})
		}
		<-writes
		others := inBackground(func() error { p.File("web"); return p.Keep("stdin", os.Stdin) })
		fdtest.Eventually(t, "other methods return", func() bool { return len(others) == 1 })
		closes := inBackground(p.Close)
		fdtest.Eventually(t, "Close has begun", p.isClosed)
		if len(closes) > 0 {
			t.Error("Close has not waited")
		}
		close(responds)
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if err := errors.Join(<-others, <-closes); err != nil {
			t.Error(err)
		}
		createTemp = os.CreateTemp
		if _, err := p.server.control.AcceptConn(); !errors.Is(err, net.ErrClosed) {
			t.Error("the control socket is open: ", err)
		}
		if files := must(filepath.Glob(config.PIDFile + "*")); len(files) > 0 {
			t.Errorf("files remain: %q", files)
		}
		if _, err := os.Stat(p.path); (err == nil) == first {
			t.Error("the file of the Unix socket: ", err)
		}
		if !first {
			s.getsAbort(errClosed.Error())
		}
	}
}

// Close ends Upgrade before it frees the path. Otherwise the process that Upgrade has started, which has not connected
// yet, would become the first process, and continue to serve.
func TestCloseEndsUpgrade(t *testing.T) {
	a := startReady(t, Config{})
	output := must(os.Create(filepath.Join(t.TempDir(), "output")))
	defer output.Close()
	cmd := exec.Command("sh", "-c", `echo started; while test -e "$0"; do :; done; echo free`, a.path)
	cmd.Stdout = output
	done := upgrades(patient(t), t, a, cmd)
	written := func() string { return string(must(os.ReadFile(output.Name()))) }
	fdtest.Eventually(t, "the successor has started", func() bool { return written() == "started\n" })
	fdtest.Must(t, a.Close())
	if _, err := os.Stat(a.path); err == nil {
		t.Error("the path is not free")
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if text := written(); text != "started\n" {
		t.Errorf("the successor, which should have been killed, writes %q", text)
	}
}

// The successor serves and ctx is done before Upgrade notices either.
func TestUpgradeDoesNotKillAProcessThatServes(t *testing.T) {
	a := startReady(t, Config{})
	replaces(t, a)
	cmd, in, _ := command(t, exec.Command("cat"))
	fdtest.Must(t, cmd.Start())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		close(exited) // each await receives from it, too
	}()
	for range 100 {
		fdtest.Must(t, a.await(ctx, cmd, exited))
	}
	_ = in.Close()
	fdtest.Must(t, <-exited)
}

// The program is started by a link, which leads to another version later.
func TestUpgradeStartsTheProgramByItsPath(t *testing.T) {
	for how, c := range map[string]struct{ dir, program, inPath string }{
		"absolute path":                  {"DIR/", "DIR/current", ""},
		"relative path":                  {"./", "./current", ""},
		"PATH":                           {"DIR/", "current", "DIR:"},
		"PATH with a relative directory": {"DIR/", "current", ".:"},
	} {
		t.Run(how, func(t *testing.T) {
			dir := must(filepath.EvalSymlinks(fdtest.ShortDir(t))) // Sscanf below needs a name without spaces
			in := strings.NewReplacer("DIR", dir).Replace
			for _, version := range []string{"v1", "v2"} {
				if out, err := exec.Command("cp", must(os.Executable()), filepath.Join(dir, version)).CombinedOutput(); err != nil {
					t.Fatal(err, string(out))
				}
			}
			link := func(version string) {
				t.Helper()
				temporary := filepath.Join(dir, "new")
				fdtest.Must(t, errors.Join(os.Symlink(version, temporary), os.Rename(temporary, filepath.Join(dir, "current"))))
			}
			link("v1")
			cmd, _, lines := command(t, reexec.Command("server", socketPath(t), "/"))
			cmd.Dir = dir
			cmd.Path, cmd.Args[0] = in(c.dir)+"current", in(c.program)
			cmd.Env = append(cmd.Env, "PATH="+in(c.inPath)+os.Getenv("PATH"))
			fdtest.Must(t, cmd.Start())
			waited := make(chan error, 1)
			go func() { waited <- cmd.Wait() }()
			pid := 0
			for _, version := range []string{"v1", "v2", "v1"} {
				link(version)
				if pid != 0 {
					fdtest.Must(t, syscall.Kill(pid, syscall.SIGHUP))
				}
				var program string
				if _, err := fmt.Sscanf(next(t, lines), "serving %d %s", &pid, &program); err != nil || program != filepath.Join(dir, version) {
					t.Fatalf("%s serves: %v", program, err)
				}
				if version == "v2" {
					if err := <-waited; err != nil {
						t.Error("the first process: ", err)
					}
				}
			}
			fdtest.Must(t, syscall.Kill(pid, syscall.SIGKILL))
		})
	}
}

// A program that was started under a name that leads to no program is found by its executable file.
func TestProgramWithoutAPath(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	for _, os.Args = range [][]string{{"-login-shell"}, {""}, {}} {
		if path, err := program(); err != nil || path != must(os.Executable()) {
			t.Errorf("%q: %s, %v", os.Args, path, err)
		}
	}
}
