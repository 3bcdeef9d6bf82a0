//go:build unix

package httpdrain_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/webtest"
)

func TestMain(m *testing.M) {
	reexec.Register("server", func(args []string) {
		if len(args) > 2 {
			d, _ := time.ParseDuration(args[2])
			httpdrain.SetStopTime(d)
		}
		if err := runServer(args[0], args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	})
	reexec.Register("dies", func(args []string) {
		if _, err := handover.Start(context.Background(), args[0]); err != nil {
			panic(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		reexec.Forever()
	})
	reexec.Main()
	fdleak.Main(m)
}

const timeLimit = time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	t.Cleanup(cancel)
	return ctx
}

// borrow returns a server that has ended, for its certificate and its client.
func borrow() *httptest.Server {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return s
}

// runServer exits with an error when its connection to path.fails, if something listens there, ends. Otherwise, it
// prints the address of each socket when it serves. Two of them are those of one http.Server.
func runServer(path, idleTimeout string) error {
	if conn, err := net.Dial("unix", path+".fails"); err == nil {
		_, err = io.Copy(io.Discard, conn)
		return errors.Join(errors.New("fails"), err)
	}
	idle, err := time.ParseDuration(idleTimeout)
	if err != nil {
		return err
	}
	var endpoints []httpdrain.Endpoint
	for _, name := range []string{"plain", "encrypted"} {
		server := webtest.NewHTTP()
		server.IdleTimeout = idle
		server.BaseContext = func(l net.Listener) context.Context {
			fmt.Println(name, l.Addr())
			return context.Background()
		}
		if name == "encrypted" {
			server.TLSConfig = borrow().TLS.Clone()
		}
		endpoints = append(endpoints, httpdrain.Endpoint{Name: name, Network: "tcp", Address: "127.0.0.1:0", Server: server})
	}
	again := endpoints[0]
	again.Name = "second"
	return httpdrain.ListenAndServe(handover.Config{PIDFile: path + ".pid"}, path, time.Hour, append(endpoints, again)...)
}

func protocols(names ...string) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(slices.Contains(names, "HTTP/1.1"))
	p.SetHTTP2(slices.Contains(names, "HTTP/2"))
	p.SetUnencryptedHTTP2(slices.Contains(names, "HTTP/2"))
	return p
}

// Before each successor, another one dies after it has received the sockets. make proof-stress restarts the server 200
// times under each load.
func TestNoRequestIsLost(t *testing.T) {
	restarts := 2
	if os.Getenv("SCM_HANDOVER") == "full" {
		restarts = 200
	}
	for _, c := range []struct {
		name   string
		change func(transport *http.Transport)
		socket string
		pause  time.Duration
		shared bool // all clients use one connection
	}{
		{name: "HTTP/1.1 with a connection for each request", change: func(t *http.Transport) { t.DisableKeepAlives = true }, socket: "plain"},
		{name: "HTTP/1.1 with keep-alive", change: func(t *http.Transport) {}, socket: "plain"},
		// The next request may cross the end of the idle connection.
		{name: "HTTP/1.1 with pauses", change: func(t *http.Transport) {}, pause: 40 * time.Millisecond, socket: "plain"},
		{name: "HTTP/2", change: func(t *http.Transport) { t.Protocols = protocols("HTTP/2") }, socket: "plain"},
		{name: "HTTP/2 over one connection", change: func(t *http.Transport) { t.Protocols = protocols("HTTP/2") }, shared: true, socket: "plain"},
		{name: "HTTP/1.1 over TLS", change: func(t *http.Transport) { t.Protocols = protocols("HTTP/1.1") }, socket: "encrypted"},
		{name: "HTTP/2 over TLS", change: func(t *http.Transport) { t.Protocols = protocols("HTTP/2") }, socket: "encrypted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			borrowed := borrow()
			var clients []*webtest.Client
			var transport *http.Transport
			for i := range 16 {
				if i == 0 || !c.shared {
					transport = borrowed.Client().Transport.(*http.Transport).Clone()
					c.change(transport)
				}
				clients = append(clients, &webtest.Client{HTTP: http.Client{Transport: transport}, Pause: c.pause, Again: c.shared, Rest: webtest.Done})
			}
			restart(t, restarts, clients, c.socket)
		})
	}
}

// startChild starts a child of this test program, and returns its standard output. It is killed at the test's end.
func startChild(t *testing.T, name string, args ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := reexec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	fdtest.Must(t, err)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error if the test has waited
	})
	return cmd, out
}

// startServer starts a server, and returns the URLs of a plain and of its TLS socket when it serves. The scanner
// returns what it and its successors print then. An argument in args is the time that clients have after SIGTERM.
func startServer(t *testing.T, path string, idleTimeout time.Duration, args ...string) (first *exec.Cmd, urls map[string]string, lines *bufio.Scanner) {
	t.Helper()
	first, out := startChild(t, "server", append([]string{path, idleTimeout.String()}, args...)...)
	t.Cleanup(func() {
		if t.Failed() && serves(path) > 0 {
			_ = syscall.Kill(serves(path), syscall.SIGKILL)
		}
	})
	schemes := map[string]string{"plain": "http://", "encrypted": "https://"}
	urls, lines = map[string]string{}, bufio.NewScanner(out)
	for len(urls) < len(schemes) {
		if !lines.Scan() {
			t.Fatal("the server does not serve")
		}
		name, address, _ := strings.Cut(lines.Text(), " ")
		urls[name] = schemes[name] + address
	}
	return first, urls, lines
}

// restart restarts a server under load.
func restart(t *testing.T, times int, clients []*webtest.Client, socket string) {
	path := filepath.Join(fdtest.ShortDir(t), "socket")
	server, urls, _ := startServer(t, path, 0)
	for _, c := range clients {
		c.URL = urls[socket]
	}
	load, err := webtest.Start(clients...)
	fdtest.Must(t, err)
	defer load.End(0)
	for range times {
		if err := reexec.Command("dies", path).Run(); err == nil {
			t.Error("the failing successor has not died")
		}
		predecessor := server
		server, _, _ = startServer(t, path, 0)
		fdtest.Eventually(t, "the successor answers all clients", func() bool {
			return load.Answers()[server.Process.Pid] == len(clients)
		})
		if err := predecessor.Wait(); err != nil {
			t.Fatal("the predecessor: ", err)
		}
	}
	totals, err := load.End(0)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d restarts: %s", times, totals)
}

// incomparable is a connection of a program. A map whose keys are interface values panics if one is a key.
type incomparable struct {
	net.Conn
	_ []byte
}

type incomparables struct{ net.Listener }

func (l incomparables) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return incomparable{Conn: conn}, err
}

// listen returns a listener, and its address.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fdtest.Must(t, err)
	return l, l.Addr().String()
}

// serve starts a server, whose connections cannot be compared. It must end with a drain, which closes the channel.
func serve(t *testing.T, server *http.Server) (*httpdrain.Server, string, chan bool) {
	t.Helper()
	l, address := listen(t)
	s := httpdrain.New(server)
	served := ends(t, func() error { return s.Serve(incomparables{l}) })
	return s, address, served
}

// serveAccepted starts a server, and returns a channel with a value for each connection that it has accepted.
func serveAccepted(t *testing.T) (s *httpdrain.Server, address string, accepted chan bool) {
	t.Helper()
	accepted = make(chan bool, 3)
	s, address, _ = serve(t, &http.Server{ConnState: func(_ net.Conn, now http.ConnState) {
		if now == http.StateNew {
			accepted <- true
		}
	}})
	return s, address, accepted
}

// ends returns a channel that is closed when serve has returned, as it must after a drain.
func ends(t *testing.T, serve func() error) chan bool {
	served := make(chan bool)
	go func() {
		defer close(served)
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { <-served })
	return served
}

// drains drains a server in the background.
func drains(t *testing.T, s *httpdrain.Server) chan error {
	done := make(chan error, 1)
	go func() { done <- s.Drain(patient(t)) }()
	return done
}

// request is a request without a body.
const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// dial connects to a server, and sends it some text.
func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	fdtest.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	send(t, conn, text)
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// isAskedToClose reads an answer until its end. It must ask the client to close the connection.
func isAskedToClose(t *testing.T, conn net.Conn) {
	t.Helper()
	if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("got the answer %q, %v", answer, err)
	}
}

// waitForDrain returns when Drain has closed the listener.
func waitForDrain(t *testing.T, address string) {
	t.Helper()
	fdtest.Eventually(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

func TestServeReturnsWhenTheDrainIsComplete(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	states := new(atomic.Int64)
	s, address, served := serve(t, &http.Server{
		ConnState: func(net.Conn, http.ConnState) { states.Add(1) },
		Handler:   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- true; <-leave }),
	})
	defer http.DefaultClient.CloseIdleConnections()
	answered := make(chan error, 1)
	go func() {
		answer, err := http.Get("http://" + address)
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}()
	<-entered
	drained := drains(t, s)
	waitForDrain(t, address)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call: %v", err)
	}
	select {
	case <-served:
		t.Fatal("Serve returned during the drain")
	case err := <-drained:
		t.Fatal("Drain returned although a request is served: ", err)
	default:
	}
	close(leave)
	if err := errors.Join(<-answered, <-drained, s.Drain(patient(t))); err != nil {
		t.Error(err)
	}
	for range 20 {
		if err := s.Drain(ctx); err != nil {
			t.Error("after the drain: ", err)
		}
	}
	<-served
	if states.Load() == 0 {
		t.Error("the ConnState of the http.Server was not called")
	}
	l, _ := listen(t)
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve after the drain: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func TestDrainEndsIdleConnectionsWhenCtxIsDone(t *testing.T) {
	server, called := &http.Server{}, make(chan struct{})
	server.RegisterOnShutdown(func() { close(called) })
	s, address, _ := serve(t, server)
	conn := dial(t, address, request)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := s.Drain(patient(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second call: %v", err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // until the end
		t.Error(err)
	}
	<-called
}

// Hijacked connections belong to their handler, which learns from RegisterOnShutdown when the others are closed.
func TestDrainDoesNotWaitForHijackedConnections(t *testing.T) {
	hijacked := make(chan net.Conn, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		hijacked <- conn
	})}
	told := make(chan bool)
	server.RegisterOnShutdown(func() { close(told) })
	s, address, _ := serve(t, server)
	dial(t, address, request)
	theirs := <-hijacked
	defer func() { _ = theirs.Close() }()
	if err := s.Drain(patient(t)); err != nil {
		t.Error(err)
	}
	<-told
	if _, err := io.WriteString(theirs, "x"); err != nil {
		t.Error(err)
	}
}

func TestServeTLSReturnsAFailureAtOnce(t *testing.T) {
	l, _ := listen(t)
	if err := httpdrain.New(&http.Server{}).ServeTLS(l, "missing", "missing"); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// IdleTimeout does not apply to a connection that has not sent a header. Its time begins with the drain, although it
// was accepted before.
func TestDrainEndsConnectionsWithoutARequest(t *testing.T) {
	timers := httpdrain.Timers(t)
	s, address, accepted := serveAccepted(t)
	var conns [3]net.Conn
	for i := range conns {
		conns[i] = dial(t, address, "")
		<-accepted
	}
	silent, incomplete, late := conns[0], conns[1], conns[2]
	send(t, incomplete, request[:8])
	if n := len(timers); n > 0 {
		t.Errorf("the time of %d connections has begun before the drain", n)
	}
	drained := drains(t, s)
	var expire [3]func()
	for i := range expire {
		expire[i] = <-timers
	}
	send(t, late, request)
	isAskedToClose(t, late)
	for _, expire := range expire {
		expire()
	}
	for range 2 {
		looksAgain(t, timers)()
	}
	for _, conn := range []net.Conn{silent, incomplete} {
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("got an answer without a request")
		}
	}
	fdtest.Must(t, <-drained)
}

// A hooked is a connection from which the server reads with a function.
type hooked struct {
	*net.TCPConn
	read func(c *net.TCPConn, p []byte) (int, error)
}

func (c hooked) Read(p []byte) (int, error) { return c.read(c.TCPConn, p) }

// hooks is a listener that returns such connections, and sends each on a channel, too.
type hooks struct {
	net.Listener
	accepted chan net.Conn
	read     func(c *net.TCPConn, p []byte) (int, error)
}

func (l hooks) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted <- conn
	return hooked{conn.(*net.TCPConn), l.read}, nil
}

// looksAgain returns the timer that the previous one has started.
func looksAgain(t *testing.T, timers <-chan func()) func() {
	t.Helper()
	select {
	case expire := <-timers:
		return expire
	default:
		t.Fatal("Drain does not look again")
		return nil
	}
}

// The time without a header may be over because this process was stopped. It then reads what has arrived.
func TestDrainReadsWhatHasArrived(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no way to ask a socket for its unread bytes")
	}
	for _, encrypted := range []bool{false, true} {
		for _, opens := range []bool{true, false} {
			t.Run(fmt.Sprintf("TLS %v, is read %v", encrypted, opens), func(t *testing.T) {
				timers := httpdrain.Timers(t)
				gate := make(chan bool)
				openGate := sync.OnceFunc(func() { close(gate) })
				defer openGate()
				s := httpdrain.New(&http.Server{TLSConfig: borrow().TLS.Clone()})
				plain, address := listen(t)
				l := hooks{plain, make(chan net.Conn, 1), func(c *net.TCPConn, p []byte) (int, error) { // as if it were stopped
					<-gate
					return c.Read(p)
				}}
				ends(t, func() error {
					if encrypted {
						return s.ServeTLS(l, "", "")
					}
					return s.Serve(l)
				})
				conn := dial(t, address, "")
				if encrypted {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				answer := make(chan string, 1)
				go func() {
					_, _ = io.WriteString(conn, request) // fails if the server has ended the connection
					text, _ := io.ReadAll(conn)
					answer <- string(text)
				}()
				accepted := <-l.accepted
				fdtest.Eventually(t, "the request has arrived", func() bool { return httpdrain.IsUnread(accepted) })
				drained := drains(t, s)
				expire := <-timers
				for range httpdrain.Looks - 1 {
					expire()
					expire = looksAgain(t, timers)
				}
				if !opens {
					expire()
				}
				openGate()
				if got := <-answer; strings.Contains(got, "Connection: close") != opens {
					t.Errorf("got the answer %q", got)
				}
				fdtest.Must(t, <-drained)
			})
		}
	}
}

// The process may have been stopped until just before the time is over. A goroutine may then have read a request, but
// not recorded that yet.
func TestDrainLooksTwice(t *testing.T) {
	timers := httpdrain.Timers(t)
	plain, address := listen(t)
	read, gate := make(chan bool), make(chan bool)
	openGate := sync.OnceFunc(func() { close(gate) })
	l := hooks{plain, make(chan net.Conn, 1), func(c *net.TCPConn, p []byte) (int, error) {
		n, err := c.Read(p)
		select {
		case read <- true:
		case <-gate:
		}
		<-gate
		return n, err
	}}
	s := httpdrain.New(&http.Server{})
	ends(t, func() error { return s.Serve(l) })
	defer openGate()
	conn := dial(t, address, request)
	<-read
	drained := drains(t, s)
	(<-timers)()
	again := looksAgain(t, timers)
	openGate()
	isAskedToClose(t, conn)
	again()
	fdtest.Must(t, <-drained)
}

// If nothing is known about the socket, or another goroutine has just read from it, a late timer shows that the process
// was stopped.
func TestDrainLooksAgainIfItIsLate(t *testing.T) {
	timers := httpdrain.Timers(t)
	s, address, accepted := serveAccepted(t)
	conn := dial(t, address, "")
	<-accepted
	drained := drains(t, s)
	(<-timers)()
	expire := looksAgain(t, timers)
	httpdrain.Stop(t)
	expire()
	again := looksAgain(t, timers)
	send(t, conn, request)
	isAskedToClose(t, conn)
	again()
	fdtest.Must(t, <-drained)
}

// net/http answers such a request without the Handler.
func TestDrainAsksClientsThatSendOptionsToClose(t *testing.T) {
	for set, want := range map[bool]int{false: http.StatusOK, true: http.StatusTeapot} {
		s, address, _ := serve(t, &http.Server{
			DisableGeneralOptionsHandler: set,
			Handler:                      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
		})
		conn := dial(t, address, "")
		in := bufio.NewReader(conn)
		check := func(close bool) {
			t.Helper()
			send(t, conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
			answer, err := http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != want || answer.ContentLength != 0 || answer.Close != close {
				t.Fatalf("with DisableGeneralOptionsHandler %v: %+v, %v", set, answer, err)
			}
		}
		check(false)
		if !set {
			// More than 4 KiB is more than net/http reads.
			const long = "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
			answer, err := http.ReadResponse(bufio.NewReader(dial(t, address, long+strings.Repeat("x", 20_000))), nil)
			if err != nil || !answer.Close {
				t.Errorf("with a long body: %+v, %v", answer, err)
			}
		}
		drained := drains(t, s)
		waitForDrain(t, address)
		check(true)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	}
}

// An acceptsLast is a listener that has just accepted a connection when it is closed.
type acceptsLast struct {
	net.Listener
	began chan bool
	last  chan net.Conn
}

func (l acceptsLast) Accept() (net.Conn, error) {
	l.began <- true
	conn, err := l.Listener.Accept()
	if err != nil {
		select {
		case last := <-l.last:
			return last, nil
		default:
		}
	}
	return conn, err
}

func TestDrainEndsConnectionsThatAreAcceptedAsItBegins(t *testing.T) {
	timers := httpdrain.Timers(t)
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	plain, _ := listen(t)
	l := acceptsLast{plain, make(chan bool, 2), make(chan net.Conn, 1)}
	l.last <- theirs
	s := httpdrain.New(&http.Server{})
	ends(t, func() error { return s.Serve(l) })
	<-l.began
	drained := drains(t, s)
	select {
	case expire := <-timers:
		expire()
	case err := <-drained:
		t.Fatal("no timer of the connection has begun: ", err)
	}
	looksAgain(t, timers)()
	if n, err := ours.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("got an answer without a request")
	}
	fdtest.Must(t, <-drained)
}

// An oneClose is a listener of a program: Close must be called once, and ends Accept with an error that is not
// net.ErrClosed.
type oneClose struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
}

func (l oneClose) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, io.EOF
	}
}

func (l oneClose) Close() error {
	close(l.closed)
	return l.Listener.Close()
}

func TestServeUsesAListenerAsNetHTTPDoes(t *testing.T) {
	inner, _ := listen(t)
	l := oneClose{inner, make(chan net.Conn, 1), make(chan struct{})}
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	l.conns <- theirs
	entered, leave := make(chan bool), make(chan bool)
	s := httpdrain.New(&http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- true; <-leave }),
		BaseContext: func(l net.Listener) context.Context {
			if _, ok := l.(oneClose); !ok {
				t.Errorf("BaseContext was called with %T", l)
			}
			return context.Background()
		},
	})
	ends(t, func() error { return s.Serve(l) })
	send(t, ours, request)
	<-entered
	drained := drains(t, s)
	<-l.closed
	close(leave)
	if _, err := io.Copy(io.Discard, ours); err != nil {
		t.Error(err)
	}
	fdtest.Must(t, <-drained)
}

// httputil.ReverseProxy adds the Connection header of the response to what the header of the ResponseWriter has
// already.
func TestResponsesDuringADrainHaveOneConnectionHeader(t *testing.T) {
	switches := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}
	flushes := func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }
	ends := func(http.ResponseWriter, *http.Request) {}
	for _, c := range []struct {
		name, upgrade string
		handler       http.HandlerFunc
		want          string
	}{
		{"ordinary", "", flushes, "close"},
		{"WebSocket", "websocket", switches, "Upgrade"},
		{"WebSocket that is refused", "websocket", ends, "close"},
		{"offers h2c", "h2c", flushes, "close"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := &http.Server{Handler: c.handler}
			fdtest.Must(t, httpdrain.New(server).Drain(patient(t)))
			request := httptest.NewRequest(http.MethodGet, "/", nil)
			if c.upgrade != "" {
				request.Header.Set("Connection", "Upgrade")
				request.Header.Set("Upgrade", c.upgrade)
			}
			recorder := httptest.NewRecorder()
			server.Handler.ServeHTTP(recorder, request)
			if got := recorder.Result().Header["Connection"]; !slices.Equal(got, []string{c.want}) {
				t.Errorf("Connection: %q, want %q", got, c.want)
			}
		})
	}
}
