//go:build unix

// Command servers has servers that need more than httpdrain.ListenAndServe to be replaced without losing a request.
//
//	servers grpc|web|inplace SOCKET ADDRESS
//
// The kinds are a gRPC server, an HTTP server with WebSockets and event streams, and an HTTP server whose process
// remains the same, as in a container. SIGHUP starts the new version, and SIGTERM shuts down the server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scm-rights/scm/handover"
)

const (
	timeout  = time.Minute     // for a successor to start serving, and for clients after that
	stopTime = 8 * time.Second // for clients after SIGTERM
)

// A server ends serve with net.ErrClosed or http.ErrServerClosed, but not before drain ends.
type server interface {
	serve(net.Listener) error
	drain(context.Context, net.Listener) error
}

func main() {
	kinds := map[string]func(path, address string) error{
		"grpc":    func(path, address string) error { return run(newGRPC(), path, address) },
		"web":     runWeb,
		"inplace": func(path, address string) error { return run(newInPlace(), path, address) },
	}
	if len(os.Args) != 4 || kinds[os.Args[1]] == nil {
		log.Fatal("usage: servers grpc|web|inplace SOCKET ADDRESS")
	}
	err := kinds[os.Args[1]](os.Args[2], os.Args[3])
	if err != nil && !errors.Is(err, context.Canceled) { // a signal during the start
		log.Fatal("servers: ", err)
	}
}

func run(s server, path, address string) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, release := untilSignal()
	p, err := handover.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	l, err := p.Listen(ctx, "main", "tcp", address)
	if err != nil {
		return err
	}
	if err := p.Ready(ctx); err != nil {
		return err
	}
	fmt.Println("listening at", l.Addr())
	go func() {
		if err := s.serve(l); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
			log.Fatal("servers: ", err)
		}
	}()
	for {
		select {
		case <-hangup:
			if s, ok := s.(*inPlace); ok {
				return s.replace(ctx, release, p, l)
			}
			go upgrade(ctx, p)
			continue
		case <-p.Replaced():
		case <-ctx.Done():
			_ = p.Close() // if a successor is preparing, its Ready fails
		}
		drain(ctx, s, l)
		return nil
	}
}

// drain waits until the clients have left, for at most timeout, and after SIGTERM for at most stopTime.
func drain(ctx context.Context, s server, l net.Listener) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	if err := s.drain(limited, l); err != nil {
		log.Print(err)
	}
}

// untilSignal returns a context that SIGTERM or SIGINT ends. A second signal ends the process. After release, so does the
// first one. It reports whether a signal has arrived before, which the stop function of signal.NotifyContext may lose.
func untilSignal() (ctx context.Context, release func() bool) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, released := make(chan os.Signal, 1), make(chan bool)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel()
		case <-released:
		}
	}()
	return ctx, func() bool {
		signal.Stop(signals) // waits until a signal that the process has received is in the channel
		select {
		case released <- true:
			return len(signals) > 0
		case <-ctx.Done():
			return true
		}
	}
}

func upgrade(ctx context.Context, p *handover.Process) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.Upgrade(ctx, nil); err != nil {
		log.Print(err)
	}
}
