//go:build unix

// Command handover is an HTTP server that hands its listening sockets to its successor and then ends.
//
//	handover SOCKET ADDRESS
//
// The first server listens at ADDRESS and waits at SOCKET for a successor, which is the same command.
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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/scm-rights/scm"
)

// patience limits how long one server waits for the other, and how long the old one waits for its clients.
const patience = 10 * time.Second

// config accepts only successors that run as the same user. It is not part of a socket, so each server applies it to
// the Unix socket that it receives.
var config = scm.Config{Check: func(successor *scm.Conn) error {
	cred, err := successor.PeerCred()
	if err == nil && cred.UID != os.Getuid() {
		err = fmt.Errorf("user %d may not take over", cred.UID)
	}
	if err != nil {
		log.Print("successor: ", err)
	}
	return err
}}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: handover SOCKET ADDRESS")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal("handover: ", err)
	}
}

func run(path, address string) error {
	predecessor, control, web, err := sockets(path, address)
	if err != nil {
		return err
	}
	var open atomic.Int64
	var draining atomic.Bool
	server := &http.Server{
		ReadHeaderTimeout: patience,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if draining.Load() {
				w.Header().Set("Connection", "close") // the client's next connection is the successor's
			}
			_, _ = fmt.Fprintln(w, os.Getpid())
		}),
	}
	if predecessor != nil {
		if err := takeOver(predecessor); err != nil {
			return err
		}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(web) }()
	fmt.Println("listening at", web.Addr())
	if err := handOver(control, web); err != nil {
		return err
	}

	// Shutdown closes idle connections, even if a request is on its way to one. Let the clients close them first.
	draining.Store(true)
	if err := web.Close(); err != nil { // the successor's descriptor stays open, so the socket still listens
		return err
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		return err
	}
	for end := time.Now().Add(patience); open.Load() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Shutdown(ctx)
}

// sockets returns the predecessor's sockets and the connection to it. If no server waits at path, it returns new sockets
// and no connection.
func sockets(path, address string) (predecessor *scm.Conn, control *scm.Listener, web net.Listener, err error) {
	ctx := context.Background()
	predecessor, err = scm.Dial(ctx, "unix", path)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		if web, err = net.Listen("tcp", address); err != nil {
			return nil, nil, nil, err
		}
		// A successor finds this socket only when the other one listens.
		control, err = config.Listen(ctx, "unix", path)
		return nil, control, web, err
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if err := predecessor.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, nil, err
	}
	received, err := predecessor.RecvListener()
	if err != nil {
		return nil, nil, nil, err
	}
	if control, err = config.NewListener(received); err != nil {
		return nil, nil, nil, err
	}
	web, err = predecessor.RecvListener()
	return predecessor, control, web, err
}

// takeOver returns when this server may serve. After an error it must not serve, because the predecessor continues.
func takeOver(predecessor *scm.Conn) error {
	defer func() { _ = predecessor.Close() }()
	if _, err := predecessor.Write([]byte("ready")); err != nil {
		return err
	}
	// A deadline here could expire just after the predecessor has sent "go". If it gives up, it closes the connection.
	if err := predecessor.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := io.ReadFull(predecessor, make([]byte, len("go"))); err != nil {
		return err
	}
	_, _ = predecessor.Write([]byte("going")) // an error means that the predecessor has died
	return nil
}

// handOver returns when a successor has received the sockets and serves. If a successor fails, handOver waits for
// the next one.
func handOver(control *scm.Listener, web net.Listener) error {
	for {
		successor, err := control.AcceptConn()
		if err != nil {
			return err
		}
		if err = give(successor, control, web); err == nil {
			return nil
		}
		log.Print("successor: ", err)
	}
}

func give(successor *scm.Conn, control, web net.Listener) error {
	defer func() { _ = successor.Close() }()
	if err := successor.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for _, l := range []net.Listener{control, web} {
		if err := successor.SendListener(l); err != nil {
			return err
		}
	}
	if _, err := io.ReadFull(successor, make([]byte, len("ready"))); err != nil {
		return err
	}
	if _, err := successor.Write([]byte("go")); err != nil {
		return err
	}
	// From here on the successor may serve, so this server must not give up while the successor lives.
	if err := successor.SetDeadline(time.Time{}); err != nil {
		return err
	}
	_, err := io.ReadFull(successor, make([]byte, len("going")))
	return err
}
