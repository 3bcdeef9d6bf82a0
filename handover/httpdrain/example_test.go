//go:build unix

package httpdrain_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

// A whole program. SIGHUP starts a new version of it, which takes over.
func ExampleListenAndServe() {
	server := &http.Server{
		Handler:           http.FileServer(http.Dir("/srv")),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       30 * time.Second,
	}
	web := httpdrain.Endpoint{Name: "web", Network: "tcp", Address: ":8080", Server: server}
	if err := httpdrain.ListenAndServe(handover.Config{}, "/run/app/handover.sock", time.Minute, web); err != nil {
		log.Fatal(err)
	}
}

// An HTTP server that starts a new version of itself on SIGHUP, and drains when that serves, or on SIGTERM.
func ExampleServer() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)

	p, err := handover.Start(ctx, "/run/app/handover.sock")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	l, err := p.Listen(ctx, "web", "tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Ready(ctx); err != nil {
		log.Fatal(err)
	}
	server := httpdrain.New(&http.Server{
		Handler:           http.FileServer(http.Dir("/srv")),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
	})
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangup:
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				if err := p.Upgrade(ctx, nil); err != nil {
					log.Print(err)
				}
				cancel()
				continue
			case <-p.Replaced():
			case <-ctx.Done():
				_ = p.Close() // if a successor is preparing, it fails
			}
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			context.AfterFunc(ctx, func() { time.AfterFunc(8*time.Second, cancel) }) // SIGTERM shortens the drain
			if err := server.Drain(limited); err != nil {
				log.Print(err)
			}
			return
		}
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended // until the error of the drain has been logged
}

// A server with TLS.
func ExampleServer_ServeTLS() {
	serve := func(p *handover.Process) error {
		l, err := p.Listen(context.Background(), "https", "tcp", ":443")
		if err != nil {
			return err
		}
		server := httpdrain.New(&http.Server{})
		go func() {
			<-p.Replaced()
			_ = server.Drain(context.Background())
		}()
		err = server.ServeTLS(l, "cert.pem", "key.pem")
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
	_ = serve
}
