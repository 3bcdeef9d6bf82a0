//go:build linux

// Command takeover is a server that hands its open connections and the state of each to its successor.
//
//	takeover SOCKET ADDRESS
//
// Clients send one number per line. The answer is the sum of all numbers that the client has sent. The first
// server listens at ADDRESS and waits at SOCKET for a successor, which is the same command. SIGTERM ends the
// server and its connections.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
)

const (
	// timeout limits how long one server waits for the other, for example for a message with connections.
	timeout = 10 * time.Second

	// batch is the number of connections in a message. At most 253 descriptors fit into a message, and at most
	// 208 KiB of payload. A session's state can have 5 KiB.
	batch = 32
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: takeover SOCKET ADDRESS")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("takeover: ", err)
	}
}

func run(path, address string) error {
	s, err := newServer(path, address)
	if err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() { <-end; os.Exit(0) }() // not by the signal, which some service managers take for a failure
	s.resume()
	fmt.Println("listening at", s.clients.Addr())
	for {
		c, err := s.control.AcceptUnix()
		if err != nil {
			return err
		}
		err = s.replace(c)
		_ = c.Close()
		if err == nil {
			return nil
		}
		log.Print("successor: ", err)
	}
}

// A server has two listening sockets and the sessions of its clients.
type server struct {
	control   *net.UnixListener
	clients   *net.TCPListener
	accepting sync.WaitGroup
	serving   sync.WaitGroup

	mu       sync.Mutex
	sessions map[*session]bool
}

// newServer takes over from the server that waits at path. If no server waits there, it makes new sockets.
func newServer(path, address string) (*server, error) {
	ctx := context.Background()
	s := &server{sessions: map[*session]bool{}}
	predecessor, err := scm.Dial(ctx, "unixpacket", path)
	if err == nil {
		return s, errors.Join(s.takeOver(predecessor), predecessor.Close())
	}
	if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, err
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if s.clients, err = net.ListenTCP("tcp", tcp); err != nil {
		return nil, err
	}
	l, err := scm.Listen(ctx, "unixpacket", path)
	if err != nil {
		return nil, err
	}
	s.control = l.UnixListener
	return s, nil
}

// pause makes every goroutine that accepts or serves return, by a deadline that has expired. The connections
// stay open, and the kernel queues what their clients send.
func (s *server) pause() {
	expired := time.Unix(1, 0)
	_ = s.clients.SetDeadline(expired)
	s.accepting.Wait() // no new session starts after this
	s.mu.Lock()
	for c := range s.sessions {
		_ = c.conn.SetDeadline(expired)
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// resume starts to serve, or continues after pause.
func (s *server) resume() {
	suspended := s.sessions
	s.sessions = map[*session]bool{}
	for c := range suspended {
		_ = c.conn.SetDeadline(time.Time{})
		s.serve(newSession(c.conn, c.state))
	}
	_ = s.clients.SetDeadline(time.Time{})
	s.accepting.Add(1)
	go func() {
		defer s.accepting.Done()
		for {
			conn, err := s.clients.Accept()
			switch {
			case err == nil:
				s.serve(newSession(conn, state{}))
			case errors.Is(err, os.ErrDeadlineExceeded):
				return
			default: // EMFILE, for example
				log.Print(err)
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
}

func (s *server) serve(c *session) {
	s.mu.Lock()
	s.sessions[c] = true
	s.mu.Unlock()
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		err := c.serve()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return // for the successor, or for resume
		}
		if err != io.EOF {
			log.Print("client: ", err)
		}
		s.mu.Lock()
		delete(s.sessions, c)
		s.mu.Unlock()
		_ = c.conn.Close()
	}()
}

// replace hands over to the successor that has connected. After an error the server still serves.
func (s *server) replace(c *net.UnixConn) error {
	successor, err := scm.NewConn(c)
	if err != nil {
		return err
	}
	if err := successor.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	// The successor speaks first, because a process may have connected by mistake.
	if _, err := successor.Read(make([]byte, len("take over"))); err != nil {
		return err
	}
	if err := successor.SendListener(s.control); err != nil {
		return err
	}
	if err := successor.SendListener(s.clients); err != nil {
		return err
	}
	// A successor is ready when all that it still needs is the clients. Until then they are served.
	if _, err := successor.Read(make([]byte, len("ready"))); err != nil {
		return err
	}
	s.pause()
	if err := s.handOver(successor); err != nil {
		s.resume()
		return err
	}
	return nil
}

// handOver sends the sessions. The server must be paused. After an error the successor does not serve, and the server
// may resume.
func (s *server) handOver(successor *scm.Conn) error {
	for sessions := range slices.Chunk(slices.Collect(maps.Keys(s.sessions)), batch) {
		if err := send(successor, sessions); err != nil {
			return err
		}
	}
	if err := send(successor, nil); err != nil { // the last message
		return err
	}
	if _, err := successor.Read(make([]byte, len("received"))); err != nil {
		return err
	}
	if _, err := successor.Write([]byte("go")); err != nil {
		return err
	}
	// From here on the clients are the successor's, unless it dies before it has answered. A deadline could expire
	// although it lives.
	if err := successor.SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := successor.Read(make([]byte, len("going")))
	return err
}

// send sends sessions in one message: their states as JSON, and their connections. The deadline is also for the answer
// to the last message.
func send(successor *scm.Conn, sessions []*session) error {
	if err := successor.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	states := make([]state, len(sessions))
	files := make([]*os.File, len(sessions))
	for i, c := range sessions {
		f, err := c.conn.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // a duplicate
		states[i], files[i] = c.state, f
	}
	text, err := json.Marshal(states)
	if err != nil {
		return err
	}
	_, err = successor.WriteFiles(text, files...)
	return err
}

// takeOver receives what replace and handOver send. After an error the process has to end, which closes what it received.
func (s *server) takeOver(predecessor *scm.Conn) error {
	if err := predecessor.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := predecessor.Write([]byte("take over")); err != nil {
		return err
	}
	control, err := predecessor.RecvListener()
	if err != nil {
		return err
	}
	clients, err := predecessor.RecvListener()
	if err != nil {
		return err
	}
	var isUnix, isTCP bool
	s.control, isUnix = control.(*net.UnixListener)
	s.clients, isTCP = clients.(*net.TCPListener)
	if !isUnix || !isTCP {
		return fmt.Errorf("received a %T and a %T", control, clients)
	}
	if _, err := predecessor.Write([]byte("ready")); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = s.receive(predecessor); err != nil {
			return err
		}
	}
	if _, err := predecessor.Write([]byte("received")); err != nil {
		return err
	}
	// If the predecessor gives up, it closes the connection. A deadline here could expire just after "go" was sent,
	// and then no server would have the clients.
	if err := predecessor.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := predecessor.Read(make([]byte, len("go"))); err != nil {
		return err
	}
	_, _ = predecessor.Write([]byte("going")) // an error means that the predecessor has died
	return nil
}

// receive receives sessions from one message. An empty one is the last.
func (s *server) receive(predecessor *scm.Conn) (more bool, err error) {
	if err := predecessor.SetDeadline(time.Now().Add(timeout)); err != nil {
		return false, err
	}
	p := make([]byte, 256<<10)
	n, files, err := predecessor.ReadFiles(p, batch)
	if err != nil {
		return false, err
	}
	var states []state
	if err := json.Unmarshal(p[:n], &states); err != nil {
		return false, err
	}
	if len(states) != len(files) {
		return false, fmt.Errorf("%d states and %d connections", len(states), len(files))
	}
	for i, f := range files {
		conn, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		s.sessions[newSession(conn, states[i])] = true
	}
	return len(states) > 0, nil
}
