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

// timeout limits how long a successor may take to serve, and clients to leave.
const timeout = time.Minute

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
	if err := kinds[os.Args[1]](os.Args[2], os.Args[3]); err != nil {
		log.Fatal("servers: ", err)
	}
}

func run(s server, path, address string) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
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
				return s.replace(p, l)
			}
			go upgrade(ctx, p)
			continue
		case <-p.Replaced():
		case <-ctx.Done():
			_ = p.Close() // if a successor is preparing, its Ready fails
		}
		limited, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return s.drain(limited, l)
	}
}

func upgrade(ctx context.Context, p *handover.Process) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.Upgrade(ctx, nil); err != nil {
		log.Print(err)
	}
}
