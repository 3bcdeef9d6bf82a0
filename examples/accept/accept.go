//go:build unix

// Command accept is an HTTP server that accepts in one process and serves in others.
//
//	accept ADDRESS
//
// SIGTERM ends it once all requests are answered.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/scm-rights/scm"
)

const workers = 3

func main() {
	var err error
	switch {
	case len(os.Args) != 2:
		err = errors.New("usage: accept ADDRESS")
	case os.Args[1] == "worker":
		err = work()
	default:
		err = accept(os.Args[1])
	}
	if err != nil {
		log.Fatal("accept: ", err)
	}
}

// A worker is a process that gets connections.
type worker struct {
	*scm.Conn
	cmd *exec.Cmd
}

func accept(address string) error {
	var all []worker
	for range workers {
		w, err := start()
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening at", l.Addr())
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })

	ready := all
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			return err
		}
		if ready = give(ready, conn.(*net.TCPConn)); len(ready) == 0 {
			return errors.New("no worker is left")
		}
	}
	for _, w := range all {
		err = errors.Join(err, w.Close(), w.cmd.Wait()) // a worker ends when its socket does
	}
	return err
}

// give passes conn to the first worker that takes it, and returns those that are left, this one last.
func give(ready []worker, conn *net.TCPConn) []worker {
	defer func() { _ = conn.Close() }() // the worker has a descriptor of its own
	for i, w := range ready {
		err := w.SendConn(conn)
		if err == nil {
			return append(ready[i+1:], w)
		}
		log.Printf("worker %d: %v", w.cmd.Process.Pid, err) // EPIPE: it has ended
	}
	return nil
}

// start starts this program as a worker, whose descriptor 3 is the other end of a socket.
func start() (worker, error) {
	ours, theirs, err := scm.Pair("unix")
	if err != nil {
		return worker{}, err
	}
	defer func() { _ = theirs.Close() }()
	f, err := theirs.File()
	if err != nil {
		return worker{}, err
	}
	defer func() { _ = f.Close() }()
	cmd := exec.Command(os.Args[0], "worker")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	return worker{ours, cmd}, cmd.Start()
}

// received is a net.Listener whose connections were accepted elsewhere.
type received struct{ *scm.Conn }

func (r received) Accept() (net.Conn, error) { return r.RecvConn() }
func (r received) Addr() net.Addr            { return r.LocalAddr() }

func work() error {
	signal.Ignore(syscall.SIGTERM) // of a whole group: the end of the socket is the end
	conn, err := scm.NewConnFD(3)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, os.Getpid())
	})}
	if err := server.Serve(received{conn}); !errors.Is(err, io.EOF) {
		return err
	}
	return server.Shutdown(context.Background())
}
