//go:build unix

// Command accept is an HTTP server that accepts in one process and serves in others.
//
//	accept ADDRESS
//
// On SIGTERM it answers all pending requests, for at most stopTime, and exits. Another SIGTERM ends it at once.
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
	"time"

	"github.com/scm-rights/scm"
)

const (
	workers  = 3
	stopTime = 8 * time.Second
)

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

// A worker is a process that receives connections and serves them.
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
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		_ = l.Close()
		<-signals // while workers answer
		for _, w := range all {
			_ = w.cmd.Process.Kill()
		}
	}()
	fmt.Println("listening at", l.Addr())

	ready := all
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			return err
		}
		if ready = give(ready, conn); len(ready) == 0 {
			return errors.New("all workers have exited")
		}
	}
	for _, w := range all {
		err = errors.Join(err, w.Close()) // the worker exits
	}
	for _, w := range all {
		err = errors.Join(err, w.cmd.Wait())
	}
	return err
}

// give passes conn to the first worker that accepts it, and drops workers that have exited. It returns the
// remaining workers in the order in which to try them next.
func give(ready []worker, conn net.Conn) []worker {
	defer func() { _ = conn.Close() }() // the worker has its own descriptor
	for i, w := range ready {
		err := w.SendConn(conn)
		if err == nil {
			return append(ready[i+1:], w)
		}
		log.Printf("worker %d: %v", w.cmd.Process.Pid, err) // EPIPE: the worker has exited
	}
	return nil
}

// start runs this program as a worker. Its descriptor 3 is the other end of the returned worker's socket.
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

// received is a net.Listener whose connections were accepted by another process.
type received struct{ *scm.Conn }

func (r received) Accept() (net.Conn, error) { return r.RecvConn() }
func (r received) Addr() net.Addr            { return r.LocalAddr() }

func work() error {
	signal.Ignore(syscall.SIGTERM) // sent to the process group: a worker exits when its socket is closed
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
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Print(err)
	}
	return nil
}
