//go:build !js

// There is no SIGHUP on js.

package httpdrain

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/handover"
)

// stopTime is how long clients may take after SIGTERM. docker stop waits ten seconds.
var stopTime = 8 * time.Second // less in a test

// An Endpoint is an address at which a server listens.
type Endpoint struct {
	Name, Network, Address string       // as for handover.Process.Listen
	Server                 *http.Server // it may have several addresses
}

// ListenAndServe runs a program's HTTP servers until a new version has taken over, or until SIGTERM or SIGINT, and
// returns nil when they are drained. Every version must pass the same path. SIGHUP starts a new version.
// ListenAndServe serves TLS if the Server has a TLSConfig.
//
// After a handover, clients have the time drain to finish. After SIGTERM or SIGINT, they have at most 8
// seconds, and a second signal ends the process. Errors of an upgrade or a drain are logged with config.Logger
// or slog.Default.
//
// Programs that need other signals, their own Process, or time for hijacked connections use [handover.Start] and [New].
func ListenAndServe(config handover.Config, path string, drain time.Duration, endpoints ...Endpoint) (err error) {
	// A service manager, or the PID file, may name this process before Ready has returned.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	p, err := config.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { p.Fail(err) }()
	var listeners []net.Listener
	for _, e := range endpoints {
		l, err := p.Listen(ctx, e.Name, e.Network, e.Address)
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }() // unless Serve has closed it
		listeners = append(listeners, l)
	}
	if err := p.Ready(ctx); err != nil {
		return err
	}

	servers, tls := map[*http.Server]*Server{}, map[*http.Server]bool{}
	for _, e := range endpoints {
		tls[e.Server] = e.Server.TLSConfig != nil // http.Server.Serve sets it
		if servers[e.Server] == nil {
			servers[e.Server] = New(e.Server)
		}
	}
	log := config.Logger
	if log == nil {
		log = slog.Default()
	}
	go func() {
		awaitEnd(ctx, p, hangup, config.Timeout, log)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
		var drained sync.WaitGroup
		for _, s := range servers {
			drained.Add(1)
			go func() {
				defer drained.Done()
				if err := s.Drain(limited); err != nil {
					log.Warn("httpdrain: clients were disconnected", "err", err)
				}
			}()
		}
		drained.Wait()
	}()
	served := make(chan error, len(endpoints))
	for i, e := range endpoints {
		go func() {
			if tls[e.Server] {
				served <- servers[e.Server].ServeTLS(listeners[i], "", "")
			} else {
				served <- servers[e.Server].Serve(listeners[i])
			}
		}()
	}
	for range endpoints {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// awaitEnd starts a successor on SIGHUP. It returns when a successor serves, or ctx is done.
func awaitEnd(ctx context.Context, p *handover.Process, hangup <-chan os.Signal, timeout time.Duration, log *slog.Logger) {
	if timeout <= 0 {
		timeout = time.Minute // as in handover
	}
	for {
		select {
		case <-hangup:
			go func() { // Upgrade waits for the service manager, too
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				if err := p.Upgrade(ctx, nil); err != nil {
					log.Warn("httpdrain: the upgrade failed", "err", err)
				}
			}()
		case <-p.Replaced():
			return
		case <-ctx.Done():
			_ = p.Close() // if a successor is preparing, its Ready fails
			return
		}
	}
}
