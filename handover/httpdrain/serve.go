//go:build !js

// There is no SIGHUP on js.

package httpdrain

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
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

	// OnDrain, if not nil, is called once, in a goroutine of its own, when the drain begins and the Server's listeners
	// are closed. The drain does not wait for it, but for responses that it makes handlers end, such as streams of events.
	// It can also make them end WebSockets, but the program must wait for these after ListenAndServe has returned.
	OnDrain func()
}

// ListenAndServe runs a program's HTTP servers until a new version has taken over, or until SIGTERM or SIGINT, and
// returns nil when they are drained. Every version must pass the same path. SIGHUP starts a new version.
// ListenAndServe serves TLS if the Server's TLSConfig has a certificate, or a function that returns one.
//
// After a handover, clients have at most drain to finish. After SIGTERM or SIGINT, they have at most 8 seconds, and a
// second signal ends the process. Errors of an upgrade or a drain are logged with config.Logger or slog.Default. If
// drain or an Endpoint cannot be used, the error wraps [os.ErrInvalid], and the predecessor continues.
//
// Programs that need other signals, or their own Process, use [handover.Start] and [New].
func ListenAndServe(config handover.Config, path string, drain time.Duration, endpoints ...Endpoint) (err error) {
	if drain <= 0 {
		return fmt.Errorf("httpdrain: the time to drain is %v, but must be longer than 0, because clients need it: %w", drain, os.ErrInvalid)
	}
	servers, serve, err := prepare(endpoints)
	if err != nil {
		return err
	}
	// A service manager, or the PID file, may name this process before Ready has returned.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process
	defer func() {
		if errors.Is(err, ctx.Err()) { // a signal before Ready has returned
			err = nil
		}
	}()

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

	log := config.Logger
	if log == nil {
		log = slog.Default()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(ctx, p, hangup, config.Timeout, log)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		context.AfterFunc(ctx, func() { time.AfterFunc(stopTime, cancel) })
		var drained sync.WaitGroup
		for _, s := range servers {
			drained.Add(1)
			go func() {
				defer drained.Done()
				s.drainAndLog(limited, log)
			}()
		}
		drained.Wait()
	}()
	served := make(chan error, len(endpoints))
	for i, l := range listeners {
		go func() { served <- serve[i](l) }()
	}
	for range endpoints {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	stop() // in case the program has called Shutdown
	<-ended
	return nil
}

// prepare returns the Server of each http.Server, and for each endpoint the function that serves it.
func prepare(endpoints []Endpoint) (servers map[*http.Server]*Server, serve []func(net.Listener) error, err error) {
	if len(endpoints) == 0 {
		return nil, nil, fmt.Errorf("httpdrain: no Endpoint, but a server needs an address: %w", os.ErrInvalid)
	}
	servers = map[*http.Server]*Server{}
	for _, e := range endpoints {
		if e.Server == nil {
			return nil, nil, fmt.Errorf("httpdrain: the Endpoint %q has no Server, so set it: %w", e.Name, os.ErrInvalid)
		}
		s := servers[e.Server]
		if s == nil {
			if err := startError(e.Server); err != nil { // not wrapped, because programs ignore http.ErrServerClosed
				return nil, nil, fmt.Errorf("httpdrain: net/http cannot serve the Endpoint %q: %v: %w", e.Name, err, os.ErrInvalid)
			}
			s = New(e.Server)
			servers[e.Server] = s
		}
		if e.OnDrain != nil {
			s.onDrain = append(s.onDrain, e.OnDrain)
		}
		switch config := e.Server.TLSConfig; {
		case config == nil:
			serve = append(serve, s.Serve)
		case hasCertificate(config):
			serve = append(serve, func(l net.Listener) error { return s.ServeTLS(l, "", "") })
		case len(config.Certificates) == 0 && e.Server.TLSNextProto["h2"] != nil:
			// ConfigureServer of x/net/http2 sets TLSConfig and TLSNextProto in a plain server, too.
			serve = append(serve, s.Serve)
		default:
			return nil, nil, fmt.Errorf("httpdrain: the TLSConfig of the Endpoint %q has no certificate with its private key: set Certificates, GetCertificate or GetConfigForClient, or no TLSConfig to serve without TLS: %w", e.Name, os.ErrInvalid)
		}
	}
	return servers, serve, nil
}

// startError returns the error that net/http would return as soon as it serves, or nil. After Ready, that is too late.
func startError(server *http.Server) error {
	// A copy, because a server configures HTTP/2 only once. ServeTLS does so before it reads the files.
	probe := http.Server{
		TLSConfig: server.TLSConfig.Clone(), TLSNextProto: maps.Clone(server.TLSNextProto), Protocols: server.Protocols,
	}
	if err := probe.ServeTLS(nil, "\x00", "\x00"); !errors.As(err, new(*fs.PathError)) {
		return err
	}
	address := server.Addr
	defer func() { server.Addr = address }()
	server.Addr = "\x00" // not an address, but net/http first looks whether the server is closed
	if err := server.ListenAndServe(); errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// hasCertificate reports whether a handshake can succeed. A Certificate from a failed tls.LoadX509KeyPair is empty.
func hasCertificate(config *tls.Config) bool {
	return config.GetCertificate != nil || config.GetConfigForClient != nil ||
		slices.ContainsFunc(config.Certificates, func(c tls.Certificate) bool {
			return len(c.Certificate) > 0 && c.PrivateKey != nil
		})
}

// drainAndLog calls Drain, and logs its error.
func (s *Server) drainAndLog(ctx context.Context, log *slog.Logger) {
	err := s.Drain(ctx)
	switch {
	case err == nil:
	case errors.Is(err, ctx.Err()):
		log.Warn("httpdrain: clients were disconnected", "err", err)
	default:
		log.Warn("httpdrain: the drain failed", "err", err)
	}
}

// awaitEnd starts successors. It returns when one of them serves, or ctx is done.
func awaitEnd(ctx context.Context, p *handover.Process, hangup <-chan os.Signal, timeout time.Duration, log *slog.Logger) {
	go upgrade(ctx, p, hangup, timeout, log) // Upgrade waits for the service manager, too
	select {
	case <-p.Replaced():
	case <-ctx.Done():
		_ = p.Close() // if a successor is preparing, its Ready fails
	}
}

// upgrade starts a successor on SIGHUP, until one serves. A SIGHUP that arrives during an upgrade stays in the channel.
func upgrade(ctx context.Context, p *handover.Process, hangup <-chan os.Signal, timeout time.Duration, log *slog.Logger) {
	if timeout <= 0 {
		timeout = time.Minute // as in handover
	}
	for {
		select {
		case <-hangup:
		case <-p.Replaced():
			return
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, timeout)
		err := p.Upgrade(limited, nil)
		cancel()
		if err == nil {
			return
		}
		log.Warn("httpdrain: the upgrade failed", "err", err)
	}
}
