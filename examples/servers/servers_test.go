//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) {
	program.Main(m, main)
}

func start(t *testing.T, kind, address, socket string) (*program.Process, string) {
	t.Helper()
	p := program.Start(t, program.Command(kind, socket, address))
	return p, p.Listens(t)
}

// A load counts what its clients do.
type load struct{ asked, failed atomic.Int64 }

// start starts clients that call ask again and again. It returns a function that ends them.
func (l *load) start(t *testing.T, clients int, ask func(*http.Client) error) (stop func()) {
	var done atomic.Bool
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			client := &http.Client{Transport: new(http.Transport)}
			defer client.CloseIdleConnections()
			for !done.Load() {
				l.asked.Add(1)
				if err := ask(client); err != nil {
					l.failed.Add(1)
					t.Log(err)
				}
			}
		})
	}
	return sync.OnceFunc(func() { done.Store(true); group.Wait() })
}

// more waits until the clients have made n more requests.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	before := l.asked.Load()
	fdtest.Eventually(t, "the clients have made more requests", func() bool { return l.asked.Load() >= before+n })
}

// check fails the test if a request has failed.
func (l *load) check(t *testing.T) {
	t.Logf("%d of %d requests failed", l.failed.Load(), l.asked.Load())
	if l.failed.Load() > 0 {
		t.Fail()
	}
}

func hangUp(t *testing.T, p *program.Process) {
	t.Helper()
	fdtest.Must(t, syscall.Kill(p.PID, syscall.SIGHUP))
}

// call makes a connection and a call.
func call(address string) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(context.Background(), new(grpc_health_v1.HealthCheckRequest))
	return err
}

func TestGRPC(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	server, address := start(t, "grpc", "127.0.0.1:0", socket)
	l := new(load)
	stop := l.start(t, 8, func(*http.Client) error { return call(address) })
	defer stop()
	const upgrades = 20
	servers := []*program.Process{server}
	for range upgrades {
		l.more(t, 50)
		next, _ := start(t, "grpc", address, socket)
		servers = append(servers, next)
	}
	l.more(t, 50)
	for i, old := range servers[:upgrades] {
		old.Succeeds(t, fmt.Sprint("server ", i))
	}
	stop()
	l.check(t)
}

// A slowAccept returns its first connection from Accept only when it is being closed.
type slowAccept struct {
	net.Listener
	accepted, closing chan struct{}
	close             func()
}

func (l *slowAccept) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.closing
	}
	return conn, err
}

func (l *slowAccept) Close() error {
	l.close()
	return l.Listener.Close()
}

func TestGRPCServesWhatIsAcceptedDuringTheDrain(t *testing.T) {
	inner := program.Must(net.Listen("tcp", "127.0.0.1:0"))
	closing := make(chan struct{})
	l := &slowAccept{inner, make(chan struct{}), closing, sync.OnceFunc(func() { close(closing) })}
	s := newGRPC()
	served, called := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.serve(l) }()
	go func() { called <- call(inner.Addr().String()) }()
	<-l.accepted
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(s.drain(ctx, l), <-called); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Clients of both kinds connect again when the server ends their connection.
func TestWeb(t *testing.T) {
	l := program.Must(net.Listen("tcp", "127.0.0.1:0"))
	address := l.Addr().String()
	fdtest.Must(t, l.Close())
	server := program.Start(t, program.Command("web", filepath.Join(fdtest.ShortDir(t), "socket"), address))
	fdtest.Eventually(t, "the server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	seen := map[int]bool{}
	const upgrades = 3
	for i := range upgrades + 1 {
		url := "http://" + address + "/events"
		request := program.Must(http.NewRequestWithContext(ctx, http.MethodGet, url, nil))
		response := program.Must(client.Do(request))
		t.Cleanup(func() { _ = response.Body.Close() })
		var pid int
		events := bufio.NewReader(response.Body)
		if _, err := fmt.Fscanf(events, "data: %d\n", &pid); err != nil || seen[pid] {
			t.Fatalf("the event is from process %d, %v", pid, err)
		}
		seen[pid] = true
		conn, _, err := websocket.Dial(ctx, "ws://"+address+"/socket", &websocket.DialOptions{HTTPClient: client})
		fdtest.Must(t, err)
		t.Cleanup(func() { _ = conn.CloseNow() })
		fdtest.Must(t, conn.Write(ctx, websocket.MessageText, []byte("who?")))
		if _, answer, err := conn.Read(ctx); err != nil || string(answer) != fmt.Sprint(pid) {
			t.Fatalf("the answer is %q, %v, want %d", answer, err, pid)
		}
		signal := syscall.SIGHUP
		if i == upgrades {
			signal = syscall.SIGTERM
		}
		fdtest.Must(t, syscall.Kill(pid, signal))
		if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Error("the WebSocket ended with ", err)
		}
		if _, err := io.Copy(io.Discard, events); err != nil {
			t.Error("the stream of events ended with ", err)
		}
	}
	if stderr := server.Succeeds(t, "the first server"); stderr != "" { // when the last one has closed its output
		t.Errorf("the servers printed %q, want nothing", stderr)
	}
}

func TestInPlace(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	server, address := start(t, "inplace", "127.0.0.1:0", socket)
	var versions sync.Map
	read := func(response *http.Response, err error) error {
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		versions.Store(string(text), nil)
		return err
	}
	l := new(load)
	stop := l.start(t, 8, func(client *http.Client) error {
		return read(client.Post("http://"+address, "text/plain", io.NopCloser(strings.NewReader("x"))))
	})
	defer stop()
	seen := func() (n int) {
		versions.Range(func(any, any) bool { n++; return true })
		return n
	}
	const upgrades = 10
	for i := range upgrades {
		fdtest.Eventually(t, "a new version answers", func() bool { return seen() == i+1 })
		l.more(t, 50)
		hangUp(t, server)
	}
	fdtest.Eventually(t, "the last version answers", func() bool { return seen() == upgrades+1 })
	stop()
	l.check(t)
	// Without clients, descriptor 3 is free.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range upgrades {
		hangUp(t, server)
		fdtest.Eventually(t, "another version answers", func() bool {
			fdtest.Must(t, read(client.Get("http://"+address)))
			return seen() == upgrades+i+2
		})
	}
	fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGTERM))
	if stderr := server.Succeeds(t, "the server, after SIGTERM,"); stderr != "" {
		t.Errorf("the server printed %q, want nothing", stderr)
	}
}
