//go:build unix

// Command handover is an HTTP server that a new version can replace without losing a request.
//
//	handover SOCKET ADDRESS
//
// The first server listens at ADDRESS and waits for its successor at SOCKET. To start a successor, send SIGHUP or run
// the same command again. SIGTERM shuts down the server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

const (
	timeout  = time.Minute      // for a successor to start serving, and for clients after that
	stopTime = 10 * time.Second // for clients after SIGTERM
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: handover SOCKET ADDRESS")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil && !errors.Is(err, context.Canceled) { // a signal during the start
		log.Fatal("handover: ", err)
	}
}

func run(path, address string) (err error) {
	// SIGHUP can arrive before Ready returns, because the PID file or the service manager already names this process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	config := handover.Config{Timeout: timeout, Logger: slog.Default()}
	p, err := config.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { p.Fail(err) }() // before Ready, the predecessor logs err
	l, err := p.Listen(ctx, "web", "tcp", address)
	if err != nil {
		return err
	}
	server := httpdrain.New(&http.Server{
		Handler:           http.HandlerFunc(answer),
		ReadHeaderTimeout: timeout / 6,
		IdleTimeout:       timeout / 2,
	})
	if err := p.Ready(ctx); err != nil {
		return err // the predecessor continues
	}
	fmt.Println("listening at", l.Addr())
	ended := make(chan bool)
	go func() { wait(ctx, p, server, hangup); close(ended) }()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-ended // until the error of the drain has been logged
	return nil
}

func answer(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, os.Getpid()) }

// wait starts a successor on SIGHUP. It drains the server when a successor is serving or on SIGTERM.
func wait(ctx context.Context, p *handover.Process, server *httpdrain.Server, hangup <-chan os.Signal) {
	for {
		select {
		case <-hangup:
			go upgrade(ctx, p) // which waits for the service manager, too
		case <-p.Replaced():
			drain(ctx, server)
			return
		case <-ctx.Done():
			_ = p.Close() // if a successor is preparing, its Ready fails
			drain(ctx, server)
			return
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

// drain waits until the clients have left, for at most timeout, and after SIGTERM for at most stopTime.
func drain(ctx context.Context, server *httpdrain.Server) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
	if err := server.Drain(limited); err != nil {
		log.Print(err)
	}
}
