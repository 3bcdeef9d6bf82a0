//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/webtest"
)

func TestMain(m *testing.M) { program.Main(m, logging) }

// logging runs the server. If LOG is set, the server also logs while it drains and when it ends, and prints each line
// that was logged without ending the process.
func logging() {
	if os.Getenv("LOG") != "" {
		log.SetOutput(logged{})
		defer log.Print("ended")
	}
	main()
}

type logged struct{}

func (logged) Write(line []byte) (int, error) {
	_, _ = os.Stderr.Write(line)
	if strings.Contains(string(line), "handover: replaced ") {
		time.AfterFunc(time.Millisecond, func() { log.Print("draining") })
	}
	return os.Stdout.Write(line)
}

// start puts the server under load. Half of the clients keep their connections. The others use a new
// connection for each request.
func start(t *testing.T, address string) *webtest.Load {
	t.Helper()
	var clients []*webtest.Client
	for i := range 8 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 0}
		clients = append(clients, &webtest.Client{URL: "http://" + address, HTTP: http.Client{Transport: transport}})
	}
	load := program.Must(webtest.Start(clients...))
	t.Cleanup(func() { _, _ = load.End(0) })
	return load
}

// A client has one connection, and writes its requests itself.
type client struct {
	net.Conn
	in *bufio.Reader
}

func dial(address string) client {
	conn := program.Must(net.Dial("tcp", address))
	return client{conn, bufio.NewReader(conn)}
}

func (c client) send(text string) { program.Must(io.WriteString(c, text)) }

// receives checks that the process with this ID has answered.
func (c client) receives(t *testing.T, pid int) {
	t.Helper()
	response := program.Must(http.ReadResponse(c.in, nil))
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != fmt.Sprintln(pid) {
		t.Fatalf("got %q, %v, want the ID of process %d", text, err, pid)
	}
}

func TestNoRequestIsLost(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	server := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	address := server.Listens(t)
	// After a successor that fails, the server continues.
	failing := program.Must(net.Dial("unix", socket))
	fdtest.Must(t, failing.Close())

	load := start(t, address)
	answers := func() bool { return load.Answers()[server.PID] > 0 }
	for n := range 3 { // each server starts a successor, which the next one replaces
		before := len(load.Answers())
		fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGHUP))
		fdtest.Eventually(t, "the successor answers", func() bool { return len(load.Answers()) > before })
		successor := program.Start(t, program.Command(socket, address))
		server.Succeeds(t, fmt.Sprint("server ", n)) // returns when it and its successor have exited
		server = successor
		fdtest.Eventually(t, "the new server answers", answers)
	}
	if totals, err := load.End(0); err != nil {
		t.Errorf("%v, want no failed request; %s", err, totals)
	}
	fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGTERM))
	server.Succeeds(t, "the last server, after SIGTERM,")
}

// supervisord closes the pipes of a process that has exited. A server that it did not start has such a pipe as standard
// error, and logs while it hands over and drains.
func TestLogWithoutReader(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	run := func(address string) (p *program.Process, listens string) {
		r, w, err := os.Pipe()
		fdtest.Must(t, err)
		cmd := program.Command(socket, address)
		cmd.Env, cmd.Stderr = append(cmd.Env, "LOG=1"), w
		p = program.Start(t, cmd)
		listens = p.Listens(t)
		_, _ = r.Close(), w.Close()
		return p, listens
	}
	old, address := run("127.0.0.1:0")
	load := start(t, address)
	for n := range 3 {
		c := dial(address)
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.receives(t, old.PID) // so the old server, and not the next one, has accepted the connection
		next, _ := run(address)
		fdtest.Eventually(t, "the old server logs after Replaced", func() bool { return strings.Contains(old.Stdout(), "draining\n") })
		c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		c.receives(t, old.PID)
		if _, _, err := old.Wait(); err != nil {
			t.Errorf("handover %d: the old server ended: %v", n, err)
		}
		fdtest.Must(t, c.Close())
		old = next
	}
	if totals, err := load.End(0); err != nil {
		t.Errorf("%v, want no failed request; %s", err, totals)
	}
}

// A client of a replaced server is still answered if SIGTERM arrives at that time, as when a service is stopped.
func TestSignalDuringDrain(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	old := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	address := old.Listens(t)
	c := dial(address)
	defer func() { _ = c.Close() }()
	c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.receives(t, old.PID)
	c.send("GET / HTTP/1.1\r\n") // the beginning of another request
	program.Start(t, program.Command(socket, address)).Listens(t)
	fdtest.Must(t, syscall.Kill(old.PID, syscall.SIGTERM))
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := c.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the server has ended the connection: ", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	c.send("Host: x\r\n\r\n")
	c.receives(t, old.PID)
	_, stderr, err := old.Wait()
	if err != nil || strings.Count(stderr, "\n") != strings.Count(stderr, " INFO handover: ") {
		t.Errorf("the drained server ended with %v and printed %q; want only INFO lines", err, stderr)
	}
}
