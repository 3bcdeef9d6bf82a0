//go:build linux

package handover

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
	"github.com/scm-rights/scm/internal/reexec"
)

// Tests in which real processes take over from each other.

func init() { reexec.Register("web", runWeb) }

// runWeb is a server with the arguments PATH [OPTION=VALUE …]. It greets each client at PATH.web with its PID, waits
// for a line, and answers with its PID again. It prints what happens to it, as lines that begin with its PID. The
// options are:
//
//	files    the number of further files that it keeps
//	waits    "yes" if it calls Ready only when it reads the line "ready". The line "cancel" ends the context of Ready
//	start    the time limit of Start
//	timeout  Config.Timeout
//	pidfile  Config.PIDFile
//	fails    why it fails before Ready
//	user     the user that it becomes after Start
func runWeb(args []string) {
	options := map[string]string{}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		options[name] = value
	}
	duration := func(name string, otherwise time.Duration) time.Duration {
		if options[name] == "" {
			return otherwise
		}
		return must(time.ParseDuration(options[name]))
	}
	say := func(words ...any) { fmt.Print(fmt.Sprintln(append([]any{os.Getpid()}, words...)...)) }
	check := func(err error) {
		if err != nil {
			say("failed", err)
			os.Exit(1)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	prepared := make(chan bool)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			switch lines.Text() {
			case "ready":
				close(prepared)
			case "cancel":
				cancel()
			}
		}
		os.Exit(4) // the test has ended
	}()

	config := Config{Timeout: duration("timeout", 0), PIDFile: options["pidfile"], Logger: newLogger(func(line string) { say("log", line) })}
	starting, started := context.WithTimeout(context.Background(), duration("start", timeLimit))
	p, err := config.Start(starting, args[0])
	started()
	check(err)
	if why := options["fails"]; why != "" {
		p.Fail(errors.New(why))
		os.Exit(1)
	}
	if options["user"] != "" {
		check(syscall.Setuid(must(strconv.Atoi(options["user"]))))
	}
	l, err := p.Listen(context.Background(), "web", "unix", args[0]+".web")
	check(err)
	var n int
	_, _ = fmt.Sscan(options["files"], &n)
	for i := range n {
		f := p.File(fmt.Sprint("file", i))
		if f == nil {
			f = must(os.Open(os.DevNull))
		}
		check(p.Keep(fmt.Sprint("file", i), f))
	}
	say("prepared")
	if options["waits"] == "yes" {
		<-prepared
	}
	check(p.Ready(ctx))

	end := make(chan os.Signal, 2)
	signal.Notify(end, syscall.SIGTERM)
	say("serving")
	var clients sync.WaitGroup
	clients.Add(1)
	go func() {
		defer clients.Done()
		for {
			conn, err := l.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				time.Sleep(time.Millisecond) // EMFILE
				continue
			}
			clients.Add(1)
			go func() {
				defer clients.Done()
				defer func() { _ = conn.Close() }()
				_, _ = fmt.Fprintln(conn, os.Getpid())
				if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					_, _ = fmt.Fprintln(conn, os.Getpid())
				}
			}()
		}
	}()
	select {
	case <-end:
		say("closing")
		check(errors.Join(p.Close(), l.Close()))
		return
	case <-p.Replaced():
		check(l.Close())
		say("replaced")
	}
	drained := make(chan bool)
	go func() {
		clients.Wait()
		close(drained)
	}()
	select {
	case <-end:
	case <-drained:
	}
}

// loss is what clients may lose.
type loss int

const (
	nothing  loss = iota
	requests      // that a process had accepted when it was killed
	refused       // no process listens
)

// processes are servers that take over from each other at a path.
type processes struct {
	t    *testing.T
	path string
	out  *os.File // what the servers print
	may  loss
	load sync.WaitGroup
	stop chan struct{} // closed when the load ends

	mu     sync.Mutex
	events []string
	all    []*webServer
}

type webServer struct {
	w      *processes
	cmd    *exec.Cmd
	in     io.Writer
	killed bool
}

func newProcesses(t *testing.T, may loss) *processes {
	dir := fdtest.ShortDir(t)
	in, out, err := os.Pipe()
	fdtest.Must(t, err)
	w := &processes{t: t, path: filepath.Join(dir, "socket"), out: out, may: may, stop: make(chan struct{})}
	var reader sync.WaitGroup
	reader.Add(1)
	go func() {
		defer reader.Done()
		for lines := bufio.NewScanner(in); lines.Scan(); {
			w.add(lines.Text())
		}
	}()
	t.Cleanup(func() {
		w.endLoad()
		for _, s := range w.all {
			s.kill()
		}
		_ = out.Close()
		reader.Wait()
		_ = in.Close()
		for _, event := range w.events {
			if strings.Count(event, "handover:") > 1 {
				t.Error(event)
			}
		}
		if t.Failed() {
			t.Log("events:\n", strings.Join(w.events, "\n"))
		}
	})
	return w
}

func (w *processes) add(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// start starts a server with the options of runWeb.
func (w *processes) start(options ...string) *webServer {
	w.t.Helper()
	return w.run(reexec.Command("web", append([]string{w.path}, options...)...))
}

// run starts a server that prints the same lines as runWeb.
func (w *processes) run(cmd *exec.Cmd) *webServer {
	w.t.Helper()
	cmd.Stdout, cmd.Stderr = w.out, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		w.add(fmt.Sprint(cmd.Process.Pid, " ended ", cmd.ProcessState))
	}()
	s := &webServer{w: w, cmd: cmd, in: in}
	w.all = append(w.all, s)
	return s
}

// first starts the first server, and clients that lose at most w.may.
func (w *processes) first(options ...string) *webServer {
	w.t.Helper()
	s := w.start(options...)
	s.says("serving")
	for range 2 {
		w.load.Add(1)
		go func() {
			defer w.load.Done()
			for {
				select {
				case <-w.stop:
					return
				case <-time.After(time.Millisecond):
				}
				if _, lost, err := w.ask(); lost > w.may {
					w.t.Error("a client: ", err)
					return
				}
			}
		}()
	}
	return s
}

func (w *processes) endLoad() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.load.Wait()
}

// dial returns a connection, the PID of the server that has accepted it, and what the client has lost.
func (w *processes) dial() (conn net.Conn, in *bufio.Reader, pid int, lost loss, err error) {
	if conn, err = net.Dial("unix", w.path+".web"); err != nil {
		return nil, nil, 0, refused, err
	}
	_ = conn.SetDeadline(time.Now().Add(timeLimit))
	in = bufio.NewReader(conn)
	if _, err = fmt.Fscanln(in, &pid); err != nil {
		_ = conn.Close()
		return nil, nil, 0, requests, fmt.Errorf("read the greeting: %w", err)
	}
	return conn, in, pid, nothing, nil
}

// ask makes a request, and returns the PID of the server that has answered.
func (w *processes) ask() (pid int, lost loss, err error) {
	conn, in, pid, lost, err := w.dial()
	if err != nil {
		return 0, lost, err
	}
	defer func() { _ = conn.Close() }()
	if _, err = io.WriteString(conn, "x\n"); err == nil {
		_, err = fmt.Fscanln(in, &pid)
	}
	if err != nil {
		return 0, requests, fmt.Errorf("of process %d: %w", pid, err)
	}
	return pid, nothing, nil
}

// only waits until this server alone intends to serve, and all others have ended. Those that were not killed must have
// ended with status 0, or with an error.
func (s *webServer) only() {
	s.w.t.Helper()
	fdtest.Eventually(s.w.t, "one process serves", func() bool {
		for _, other := range s.w.all {
			if other != s && !other.has("ended") {
				return false
			}
		}
		return s.serves()
	})
	for _, other := range s.w.all {
		if other != s && !other.killed && !other.has("ended exit status 0") && !(other.has("failed") && other.has("ended exit status 1")) {
			s.w.t.Errorf("process %d: %v", other.cmd.Process.Pid, other.cmd.ProcessState)
		}
	}
	s.answers()
}

// answers checks that no other server accepts connections.
func (s *webServer) answers() {
	s.w.t.Helper()
	for range 8 {
		if pid, _, err := s.w.ask(); err != nil || pid != s.cmd.Process.Pid {
			s.w.t.Errorf("got an answer of %d, want one of %d: %v", pid, s.cmd.Process.Pid, err)
		}
	}
}

// serves reports whether the server intends to keep serving.
func (s *webServer) serves() bool {
	return s.has("serving") && !s.has("replaced") && !s.has("closing") && !s.has("ended")
}

// has reports whether there is an event whose text begins with the first argument and contains the others.
func (s *webServer) has(text string, more ...string) bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.ContainsFunc(s.w.events, func(event string) bool {
		return strings.HasPrefix(event, fmt.Sprint(s.cmd.Process.Pid, " ", text)) &&
			!slices.ContainsFunc(more, func(m string) bool { return !strings.Contains(event, m) })
	})
}

func (s *webServer) says(text string, more ...string) {
	s.w.t.Helper()
	fdtest.Eventually(s.w.t, fmt.Sprint("process ", s.cmd.Process.Pid, ": ", text, more), func() bool { return s.has(text, more...) })
}

// reads sends a line to the server's standard input.
func (s *webServer) reads(line string) {
	s.w.t.Helper()
	if _, err := io.WriteString(s.in, line+"\n"); err != nil {
		s.w.t.Error(err)
	}
}

func (s *webServer) kill() {
	s.killed = true
	_ = s.cmd.Process.Kill()
	s.says("ended")
}

func (s *webServer) signal(sig syscall.Signal) {
	s.w.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.w.t.Error(err)
	}
}

// stops stops all threads of the server.
func (s *webServer) stops() {
	s.w.t.Helper()
	s.signal(syscall.SIGSTOP)
	fdtest.Eventually(s.w.t, "all threads are stopped", func() bool {
		tasks, err := procfs.Tasks(s.cmd.Process.Pid)
		return err == nil && !slices.ContainsFunc(tasks, func(task int) bool {
			status, err := procfs.ReadStatus(task)
			return err == nil && !strings.HasPrefix(status.Field("State"), "T")
		})
	})
}

func (s *webServer) continues() { s.signal(syscall.SIGCONT) }

// A relay passes the messages between a successor and its predecessor. It holds back one of them.
type relay struct {
	w         *processes
	control   *scm.Listener
	connected chan struct{} // closed when the relay has connections, or will have none
	held      chan struct{} // closed when the relay has the message
	released  chan struct{} // closed when it may pass the message on
	dropped   chan struct{} // closed when the relay ends
	group     sync.WaitGroup
	ends      []*peer
	once      sync.Once
}

// relay waits in the predecessor's place until a successor connects, which is to be started afterwards. hold is the
// type of the message that the relay holds back, and nth the number of messages of this type until then. With "", it
// holds none. Each function changes the text of a message, which then gets another descriptor.
func (w *processes) relay(hold string, nth int, change ...func(text []byte) []byte) *relay {
	w.t.Helper()
	theirs, ours := w.path+".theirs", w.path+".ours"
	l := must(net.Listen("unix", ours)).(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Link(w.path, theirs), os.Rename(ours, w.path)); err != nil {
		w.t.Fatal(err)
	}
	channel := func() chan struct{} { return make(chan struct{}) }
	r := &relay{w: w, control: must(scm.NewListener(l)), connected: channel(), held: channel(), released: channel(), dropped: channel()}
	go func() {
		defer close(r.connected)
		successor, err := r.control.AcceptConn()
		if err != nil {
			return
		}
		predecessor, err := scm.Dial(context.Background(), "unix", theirs)
		if err := errors.Join(err, os.Rename(theirs, w.path)); err != nil {
			w.t.Error(err)
			_ = successor.Close()
			return
		}
		r.ends = []*peer{newPeer(successor), newPeer(predecessor)}
		r.group.Add(2)
		go r.pass(r.ends[0], r.ends[1], hold, nth, change)
		go r.pass(r.ends[1], r.ends[0], hold, nth, change)
	}()
	w.t.Cleanup(r.drop)
	return r
}

func (r *relay) pass(from, to *peer, hold string, nth int, changes []func([]byte) []byte) {
	defer r.group.Done()
	defer func() { _ = to.conn.CloseWrite() }()
	for {
		m, text, files, err := from.receiveText()
		if err != nil {
			return
		}
		if m.Type == hold {
			if nth--; nth == 0 {
				close(r.held)
				select {
				case <-r.released:
				case <-r.dropped:
					closeFiles(files)
					return
				}
			}
		}
		conns := make([]syscall.Conn, len(files))
		for i, f := range files {
			conns[i] = f
		}
		for _, change := range changes {
			text, conns = change(text), append(conns, os.Stdin)
		}
		err = to.sendText(text, conns...)
		closeFiles(files)
		if err != nil {
			return
		}
	}
}

// receiveText receives a message of any type, with the fields that this version does not know.
func (p *peer) receiveText() (m message, text []byte, files []*os.File, err error) {
	var size [4]byte
	if _, err := io.ReadFull(p.in, size[:]); err != nil {
		return m, nil, nil, err
	}
	text = make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(p.in, text); err != nil {
		return m, nil, nil, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, nil, nil, err
	}
	files, err = p.in.Take(m.Descriptors)
	return m, text, files, err
}

// holds waits until the relay has the message that it holds back.
func (r *relay) holds() {
	r.w.t.Helper()
	select {
	case <-r.held:
	case <-time.After(timeLimit):
		r.w.t.Fatal("the relay has not received the message within a minute")
	}
}

// release passes the message on.
func (r *relay) release() { close(r.released) }

// drop ends both connections.
func (r *relay) drop() {
	r.once.Do(func() {
		close(r.dropped)
		_ = r.control.Close()
		<-r.connected
		for _, end := range r.ends {
			_ = end.conn.Close()
		}
		r.group.Wait()
		for _, end := range r.ends {
			end.close()
		}
	})
}
