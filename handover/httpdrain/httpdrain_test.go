//go:build linux

package httpdrain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/fdleak"
	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/reexec"
)

func TestMain(m *testing.M) {
	reexec.Register("server", func(args []string) {
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
		select {}
	})
	reexec.Main()
	fdleak.Main(m)
}

const patience = time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// runServer is a server that answers each request with its PID, and upgrades on SIGHUP.
func runServer(path, address string) error {
	ctx := context.Background()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	p, err := handover.Start(ctx, path)
	if err != nil {
		return err
	}
	l, err := p.Listen(ctx, "web", "tcp", address)
	if err != nil {
		return err
	}
	if err := p.Ready(ctx); err != nil {
		return err
	}
	server := httpdrain.New(&http.Server{
		Protocols: protocols(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, os.Getpid())
		}),
	})
	go func() {
		for {
			select {
			case <-hangup:
				if err := p.Upgrade(ctx, nil); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			case <-p.Replaced():
				_ = server.Drain(ctx)
				return
			}
		}
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// A load is a number of clients that send requests without pause. net/http does not send them again after an error.
type load struct {
	t        *testing.T
	address  string
	done     atomic.Bool
	group    sync.WaitGroup
	asked    atomic.Int64
	answered atomic.Int64
	by       sync.Map // the PIDs that have answered, and the number of clients that each has answered
}

func (l *load) start(clients int) {
	for i := range clients {
		transport := &http.Transport{DisableKeepAlives: i%4 == 0}
		if i%4 == 3 {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetUnencryptedHTTP2(true)
		}
		l.group.Add(1)
		go func() {
			defer l.group.Done()
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for !l.done.Load() {
				l.asked.Add(1)
				pid, err := post(client, l.address)
				if err != nil {
					l.t.Error(err)
					return
				}
				l.answered.Add(1)
				seen, _ := l.by.LoadOrStore(pid, new(sync.Map))
				seen.(*sync.Map).Store(i, nil)
				if i%4 == 2 {
					time.Sleep(5 * time.Millisecond) // an idle connection, on which the next request may cross its end
				}
			}
		}()
	}
}

// post makes a request that net/http does not retry.
func post(client *http.Client, address string) (string, error) {
	response, err := client.Post("http://"+address, "text/plain", io.NopCloser(strings.NewReader("x")))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), errors.Join(err, response.Body.Close())
}

// clientsOf returns how many clients have got an answer from the process.
func (l *load) clientsOf(pid int) (n int) {
	if seen, ok := l.by.Load(fmt.Sprint(pid)); ok {
		seen.(*sync.Map).Range(func(any, any) bool { n++; return true })
	}
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: ", what)
		}
	}
}

// Before each successor, another one dies after it has received the sockets.
func TestNoRequestIsLost(t *testing.T) {
	dir := t.TempDir()
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	_ = reserved.Close()
	start := func(child string) *exec.Cmd {
		t.Helper()
		cmd := reexec.Command(child, filepath.Join(dir, "socket"), address)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	server := start("server")
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	eventually(t, "the first process listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	const clients = 16
	l := &load{t: t, address: address}
	defer l.group.Wait()
	defer l.done.Store(true)
	l.start(clients)
	eventually(t, "the first process answers", func() bool { return l.clientsOf(server.Process.Pid) == clients })
	for range 4 {
		if err := start("dies").Wait(); err == nil {
			t.Error("the failing successor has not died")
		}
		successor := start("server")
		eventually(t, "the successor answers all clients", func() bool { return l.clientsOf(successor.Process.Pid) == clients })
		if err := server.Wait(); err != nil {
			t.Error("the predecessor: ", err)
		}
		server = successor
	}
	l.done.Store(true)
	l.group.Wait()
	if asked, answered := l.asked.Load(), l.answered.Load(); asked != answered {
		t.Errorf("%d requests, %d answers", asked, answered)
	}
}

// serve starts a server, whose result is sent to the channel.
func serve(t *testing.T, server *http.Server) (*httpdrain.Server, string, chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httpdrain.New(server)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return s, l.Addr().String(), served
}

func TestServeReturnsWhenTheDrainIsComplete(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	states := new(atomic.Int64)
	s, address, served := serve(t, &http.Server{
		ConnState: func(net.Conn, http.ConnState) { states.Add(1) },
		Handler:   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- true; <-leave }),
	})
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	answered := make(chan error, 1)
	go func() {
		_, err := post(&http.Client{Transport: transport}, address)
		answered <- err
	}()
	<-entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(patient(t)) }()
	eventually(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a second call: %v", err)
	}
	select {
	case err := <-served:
		t.Fatal("Serve returned during the drain: ", err)
	case err := <-drained:
		t.Fatal("Drain returned although a request is served: ", err)
	default:
	}
	close(leave)
	if err := errors.Join(<-answered, <-drained, s.Drain(patient(t))); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if states.Load() == 0 {
		t.Error("the ConnState of the http.Server was not called")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve after the drain: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func TestDrainEndsIdleConnectionsWhenCtxIsDone(t *testing.T) {
	s, address, served := serve(t, &http.Server{})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // until the end
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// Hijacked connections are the handler's. RegisterOnShutdown tells it when the others are closed.
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
	s, address, served := serve(t, server)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	theirs := <-hijacked
	defer func() { _ = theirs.Close() }()
	if err := s.Drain(patient(t)); err != nil {
		t.Error(err)
	}
	<-told
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if _, err := io.WriteString(theirs, "x"); err != nil {
		t.Error(err)
	}
}

func TestServeTLS(t *testing.T) {
	borrowed := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer borrowed.Close()
	s := httpdrain.New(&http.Server{TLSConfig: borrowed.TLS.Clone()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeTLS(l, "", "") }()
	client := borrowed.Client()
	response, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	client.CloseIdleConnections()
	if err := s.Drain(patient(t)); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	// A failure is returned at once.
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := httpdrain.New(&http.Server{}).ServeTLS(l, "missing", "missing"); err == nil || errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
