//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// A client keeps one connection, and checks the sums.
type client struct {
	net.Conn
	in  *bufio.Reader
	sum int
}

func dial(t *testing.T, address string) *client {
	t.Helper()
	conn := program.Must(net.Dial("tcp", address))
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	return &client{Conn: conn, in: bufio.NewReader(conn)}
}

func (c *client) write(text string) error {
	_, err := io.WriteString(c, text)
	return err
}

// answer reads the answer to a number.
func (c *client) answer(number int) error {
	c.sum += number
	line, err := c.in.ReadString('\n')
	if err == nil && line != fmt.Sprintln(c.sum) {
		err = fmt.Errorf("the answer is %q, not %d", line, c.sum)
	}
	return err
}

// round sends a number in two parts.
func (c *client) round(number int) error {
	text := strconv.Itoa(number) + "\n"
	if err := c.write(text[:1]); err != nil {
		return err
	}
	if err := c.write(text[1:]); err != nil {
		return err
	}
	return c.answer(number)
}

// failing is a successor that receives the listeners, sends the messages, each after it has received what the server
// sends before it, and then gives up.
func failing(t *testing.T, path string, connections int, messages ...string) {
	t.Helper()
	server := program.Must(scm.Dial(context.Background(), "unixpacket", path))
	defer func() { _ = server.Close() }()
	p := make([]byte, 256<<10)
	receive := func() (text string, received int) {
		t.Helper()
		n, files, err := server.ReadFiles(p, batch)
		fdtest.Must(t, err)
		for _, f := range files {
			_ = f.Close()
		}
		return string(p[:n]), len(files)
	}
	program.Must(io.WriteString(server, "take over"))
	for range 2 {
		if _, n := receive(); n != 1 {
			t.Errorf("%d descriptors instead of a listener", n)
		}
	}
	for _, message := range messages {
		program.Must(io.WriteString(server, message))
		switch message {
		case "ready":
			received := 0
			for text, n := receive(); text != "[]"; text, n = receive() {
				received += n
			}
			if received != connections {
				t.Errorf("received %d connections of %d", received, connections)
			}
		case "received":
			if text, _ := receive(); text != "go" {
				t.Errorf("%q instead of go", text)
			}
		}
	}
}

// preparing is a successor that has received the listeners and is not ready. The clients are served until it is.
func preparing(t *testing.T, path string, served func()) {
	t.Helper()
	server := program.Must(scm.Dial(context.Background(), "unixpacket", path))
	defer func() { _ = server.Close() }()
	program.Must(io.WriteString(server, "take over"))
	for range 2 {
		l := program.Must(server.RecvListener())
		defer func() { _ = l.Close() }()
	}
	served()
}

// silent is a process that connects and sends nothing. The server does not pause for it: it sends it no socket.
func silent(t *testing.T, path string) {
	t.Helper()
	server := program.Must(scm.Dial(context.Background(), "unixpacket", path))
	defer func() { _ = server.Close() }()
	fdtest.Must(t, server.CloseWrite())
	if n, files, err := server.ReadFiles(make([]byte, 256<<10), batch); err != io.EOF {
		t.Errorf("received %d bytes, %d files, %v", n, len(files), err)
		for _, f := range files {
			_ = f.Close()
		}
	}
}

func TestNoClientNotices(t *testing.T) {
	var busy sync.WaitGroup
	t.Cleanup(busy.Wait) // after the cleanups of dial
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	server := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	address := server.Listens(t)

	// The end of this client's message is sent to another process than the beginning.
	half := dial(t, address)
	next := 5
	split := func() {
		t.Helper()
		fdtest.Must(t, errors.Join(half.write(fmt.Sprintf("%d\n1", next)), half.answer(next)))
		next = 10
	}
	finish := func() {
		t.Helper()
		fdtest.Must(t, errors.Join(half.write("0\n"), half.answer(10)))
		next = 5
	}

	const connections = 3*batch + 1
	var clients []*client
	for i := range connections {
		c := dial(t, address)
		if err := c.round(i); err != nil { // the server has accepted it
			t.Fatalf("client %d: %v", i, err)
		}
		clients = append(clients, c)
	}
	var done atomic.Bool
	for i, c := range clients {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for last := false; !last; {
				last = done.Load() // one round after the last takeover
				if err := c.round(i); err != nil {
					t.Errorf("client %d, last round %v: %v", i, last, err)
					return
				}
			}
		}()
	}

	silent(t, socket)
	split()
	preparing(t, socket, finish)
	for _, messages := range [][]string{{}, {"ready"}, {"ready", "received"}} {
		split()
		failing(t, socket, connections+1, messages...)
		finish()
	}
	for range 3 { // each replaces the one before
		split()
		successor := program.Start(t, program.Command(socket, address))
		server.Succeeds(t, "the predecessor")
		finish()
		server = successor
		if err := dial(t, address).round(1); err != nil {
			t.Error("a new client: ", err)
		}
	}
	done.Store(true)
	busy.Wait()
}

// Many connections take many messages, and the time for one does not depend on how many there are.
func TestEachMessageHasItsOwnDeadline(t *testing.T) {
	predecessor, successor, err := scm.Pair("unixpacket")
	fdtest.Must(t, err)
	defer func() { _, _ = predecessor.Close(), successor.Close() }()
	expired := time.Unix(1, 0)
	_, _ = predecessor.SetDeadline(expired), successor.SetDeadline(expired)
	if err := send(successor, nil); err != nil {
		t.Error(err)
	}
	if _, err := new(server).receive(predecessor); err != nil {
		t.Error(err)
	}
}

// A deadline interrupts a session while it sends an answer of which the client has read one byte.
func TestSessionContinues(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	s := newSession(theirs, state{})
	// serve interrupts the session once the client has done something.
	serve := func(client func() error) {
		t.Helper()
		ended := make(chan error, 1)
		go func() { ended <- s.serve() }()
		fdtest.Must(t, client())
		_ = theirs.SetDeadline(time.Unix(1, 0))
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		_ = theirs.SetDeadline(time.Time{})
		s = newSession(theirs, s.state)
	}
	want := func(sum int64, unread, unwritten string) {
		t.Helper()
		if s.Sum != sum || string(s.Unread) != unread || string(s.Unwritten) != unwritten {
			t.Fatalf("the session has the sum %d and the bytes %q and %q, want %d, %q and %q",
				s.Sum, s.Unread, s.Unwritten, sum, unread, unwritten)
		}
	}
	p := make([]byte, 1)

	serve(func() error {
		if _, err := io.WriteString(ours, "10\n20\n3"); err != nil {
			return err
		}
		_, err := ours.Read(p)
		return err
	})
	want(10, "20\n3", "0\n")
	serve(func() error { // the bytes that were not read are not lost if nothing is read now
		_, err := ours.Read(p)
		return err
	})
	want(10, "20\n3", "\n")
	serve(func() error {
		text := make([]byte, len("\n30\n"))
		_, err := io.ReadFull(ours, text)
		if string(text) != "\n30\n" {
			t.Errorf("the client received %q, want %q", text, "\n30\n")
		}
		return err
	})
	want(30, "3", "")
}

func TestWrongNumberEndsTheSession(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	go func() { _, _ = io.Copy(ours, strings.NewReader("x\n")) }()
	if err := newSession(theirs, state{}).serve(); !errors.Is(err, strconv.ErrSyntax) {
		t.Error(err)
	}
}

func TestStop(t *testing.T) {
	server := program.Start(t, program.Command(filepath.Join(fdtest.ShortDir(t), "socket"), "127.0.0.1:0"))
	fdtest.Must(t, dial(t, server.Listens(t)).round(12))
	server.Stops(t)("a server with a client")
}
