package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
)

// clients has functions that connect a client to each kind of server. They return when the server is serving it.
var clients = map[string]map[string]func(t *testing.T, address string){
	"grpc": {
		"stream": func(t *testing.T, address string) {
			conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			fdtest.Must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			ctx, cancel := context.WithTimeout(context.Background(), fdtest.Limit(time.Minute))
			t.Cleanup(cancel)
			stream, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, new(grpc_health_v1.HealthCheckRequest))
			fdtest.Must(t, err)
			_, err = stream.Recv()
			fdtest.Must(t, err)
		},
		"client that is silent": func(t *testing.T, address string) { // neither GracefulStop nor Stop returns before it leaves
			conn := dial(t, address)
			_, err := io.ReadFull(conn, make([]byte, 9)) // the header of a SETTINGS frame
			fdtest.Must(t, err)
		},
	},
	"web": {
		"request": program.Request,
		"stream": func(t *testing.T, address string) {
			conn := dial(t, address)
			send(t, conn, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			fdtest.Must(t, err)
		},
		"WebSocket": func(t *testing.T, address string) { // it does not answer the request to close
			conn := dial(t, address)
			send(t, conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			fdtest.Must(t, err)
		},
	},
	"inplace": {"request": program.Request},
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn := fdtest.Connect(t, func() (net.Conn, error) { return net.Dial("tcp", address) })
	t.Cleanup(func() { _ = conn.Close() })
	fdtest.Must(t, conn.SetDeadline(time.Now().Add(fdtest.Limit(time.Minute))))
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	fdtest.Must(t, err)
}

// ask sends a request, and reports whether the response asks the client to close the connection.
func ask(t *testing.T, conn net.Conn) (closes bool) {
	t.Helper()
	send(t, conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	fdtest.Must(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	fdtest.Must(t, err)
	return response.Close
}

// SIGTERM ends a server that has a client, and another one ends it at once.
func TestStop(t *testing.T) {
	var checks []func()
	for kind, clients := range clients {
		for name, client := range clients {
			for _, state := range []string{"serving", "draining", "replaced"} {
				what := fmt.Sprintf("%s, %s, with a %s", kind, state, name)
				check := startUntil(t, kind, state, client).Stops(t)
				checks = append(checks, func() { check(what) })
				if kind != "web" || name == "request" { // the others leave soon
					startUntil(t, kind, state, client).StopsAtOnce(t, what)
				}
			}
		}
	}
	for _, check := range checks {
		check()
	}
}

// An impatient server disconnects its clients.
type impatient struct{ serving chan bool }

func (s impatient) serve(net.Listener) error {
	close(s.serving)
	return net.ErrClosed
}

func (impatient) drain(_ context.Context, l net.Listener) error {
	return errors.Join(context.DeadlineExceeded, l.Close())
}

func TestDisconnectingClientsIsNoFailure(t *testing.T) {
	s := impatient{make(chan bool)}
	ended := make(chan error, 1)
	go func() { ended <- run(s, filepath.Join(fdtest.ShortDir(t), "socket"), "127.0.0.1:0") }()
	select {
	case <-s.serving:
	case err := <-ended:
		t.Fatal(err)
	}
	fdtest.Must(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	select {
	case err := <-ended:
		fdtest.Must(t, err)
	case <-time.After(fdtest.Limit(time.Minute)):
		t.Error("not within a minute: the server has ended")
	}
}

// A signal that arrives before Ready returns stops the server too.
func TestStopDuringStart(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	predecessor := program.Must(net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}))
	defer func() { _ = predecessor.Close() }()
	server := program.Start(t, program.Command("grpc", socket, "127.0.0.1:0"))
	fdtest.Must(t, predecessor.SetDeadline(time.Now().Add(fdtest.Limit(time.Minute))))
	conn, err := predecessor.Accept()
	fdtest.Must(t, err)
	defer func() { _ = conn.Close() }()
	server.Stops(t)("a server that starts")
}

// addresses makes each address its own, because the port is free until the server listens there.
var addresses atomic.Int32

// startUntil starts a server, and returns it in the state. It then has a client.
func startUntil(t *testing.T, kind, state string, client func(*testing.T, string)) *program.Process {
	t.Helper()
	l := program.Must(net.Listen("tcp", fmt.Sprintf("127.0.1.%d:0", addresses.Add(1))))
	address := l.Addr().String()
	fdtest.Must(t, l.Close())
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	replace := func() *program.Process {
		p := program.Start(t, program.Command(kind, socket, address))
		if kind == "web" {
			fdtest.Eventually(t, "the server answers", func() bool { return answers(t, address) == p.PID })
		} else {
			p.Listens(t)
		}
		return p
	}
	server := replace()
	client(t, address)
	switch {
	case state == "replaced":
		replace()
	case state == "draining" && kind == "inplace":
		conn := dial(t, address)
		ask(t, conn) // so the server has accepted the connection
		hangUp(t, server)
		fdtest.Eventually(t, "the server drains", func() bool { return ask(t, conn) })
	case state == "draining":
		t.Cleanup(func() { replace() }) // which makes the successor exit, and so close its output
		hangUp(t, server)
		fdtest.Eventually(t, "the successor serves", func() bool {
			if kind == "web" {
				pid := answers(t, address)
				return pid != 0 && pid != server.PID
			}
			return strings.Count(server.Stdout(), "listening at ") == 2
		})
	}
	return server
}

// answers returns the ID of the process that answers, or 0.
func answers(t *testing.T, address string) (pid int) {
	t.Helper()
	client := &http.Client{Timeout: fdtest.Limit(time.Minute)}
	response, err := client.Get("http://" + address + "/events")
	if err == nil {
		_, _ = fmt.Fscanf(response.Body, "data: %d\n", &pid)
		fdtest.Must(t, response.Body.Close())
	}
	return pid
}

// A signal that arrives while the kernel executes the new version ends the process.
func TestStopDuringExec(t *testing.T) {
	fuse := fusetest.Mount(t, fusetest.Options{})
	fuse.Hush(fusetest.Open)
	cmd := program.Command("inplace", filepath.Join(fdtest.ShortDir(t), "socket"), "127.0.0.1:0")
	cmd.Args[0] = fuse.File
	server := program.Start(t, cmd)
	server.Listens(t)
	hangUp(t, server)
	select {
	case <-fuse.Waiting:
	case <-time.After(fdtest.Limit(time.Minute)):
		t.Fatal("not within a minute: the server executes the file")
	}
	fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGTERM))
	fuse.Release() // the file cannot be read, so the execution fails
	if _, stderr, err := server.Wait(); fmt.Sprint(err) != "signal: terminated" {
		t.Errorf("the server ended with %v and printed %q, want the signal to end it", err, stderr)
	}
}

// A signal that the process has received just before release is reported.
func TestRelease(t *testing.T) {
	runtime.LockOSThread() // which receives the signals
	defer runtime.UnlockOSThread()
	for n := range 1000 {
		ctx, release := untilSignal()
		fdtest.Must(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGTERM))
		if !release() {
			t.Fatalf("round %d: release reported no signal; the context: %v", n, ctx.Err())
		}
	}
	if _, release := untilSignal(); release() {
		t.Error("release reported a signal that was not sent")
	}
}
