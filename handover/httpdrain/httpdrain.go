// Package httpdrain shuts down an HTTP server without losing a request. It complements package handover in programs
// that use net/http.
//
// [ListenAndServe] is all that most programs need. Other programs use a [Server].
//
// [http.Server.Shutdown] alone loses requests: it closes idle connections, even if a request is on its way to one of
// them. A Server instead asks its clients to close their connections, waits until they have done so, and only then
// calls Shutdown:
//
//	server := httpdrain.New(&http.Server{Handler: handler})
//	go func() {
//		<-p.Replaced() // of a handover.Process
//		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
//		defer cancel()
//		_ = server.Drain(ctx)
//	}()
//	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
//		log.Fatal(err)
//	}
//
// If the main function ends like this, the program exits with status 0 when the drain is complete. Do not write
// log.Fatal(server.Serve(l)): the program would exit with status 1, and a service manager that has a unit for each
// version, with Restart=on-failure, would start the old one again, which would take over from the new one.
package httpdrain

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// headerTime is how long a connection may take to send its first header. http.Server.Shutdown allows as much.
const headerTime = 5 * time.Second

// If the process was stopped during headerTime, it may not have read everything that has arrived. So it checks a
// connection at least twice, readTime apart, and closes it only if the process was not stopped between the last two
// checks. It repeats the check up to readLooks times.
const (
	readTime  = time.Second
	readLooks = 6
)

var afterFunc, now = time.AfterFunc, time.Now // other functions in a test

// A Server is an [http.Server] that can be drained. Use New to create one. Multiple goroutines may invoke methods on a
// Server simultaneously.
type Server struct {
	server   *http.Server
	draining atomic.Bool
	onDrain  []func()
	drained  chan struct{} // closed when Drain has ended
	err      error         // the result of Drain, then

	mu        sync.Mutex
	listeners map[*listener]bool // whose Accept loop has not ended
	// conns is true until the first header is complete, and does not contain closed and hijacked connections. A
	// net.Conn as a key would panic if its type cannot be compared.
	conns   map[reflect.Value]bool
	changed chan struct{}
}

// A listener can be closed repeatedly. The listeners of some programs cannot, because net/http closes them only once.
type listener struct {
	net.Listener
	close func() error
}

func (l *listener) Close() error { return l.close() }

// New returns a Server for server, which must not have been started. It replaces server's Handler, ConnState,
// BaseContext and ConnContext with functions that call the original ones, and sets DisableGeneralOptionsHandler:
// unless it was set already, the new Handler answers "OPTIONS *" as net/http does. Do not set these fields after the
// call to New, or requests are lost. Start server only with the methods of the returned Server.
//
// The original Handler receives a ResponseWriter that has the methods of net/http's own, and Unwrap. A response that it
// writes to the result of Unwrap does not ask the client to close its connection. When net/http logs a superfluous call
// to WriteHeader, it names this package instead of the handler.
//
// With HTTP/1, [http.MaxBytesReader] cannot close the connection through this ResponseWriter. Instead, every response
// with status 413 closes it, as net/http does when a body exceeds the limit. Before a response with another status,
// net/http first discards up to 256 KB of the body that the handler has left unread, for which only ReadTimeout limits
// the wait, and then closes the connection if there is more. A client that has sent "Expect: 100-continue" may lose
// such a response. After EnableFullDuplex, net/http discards nothing, and closes the connection unannounced.
func New(server *http.Server) *Server {
	s := &Server{
		server:    server,
		drained:   make(chan struct{}),
		listeners: map[*listener]bool{},
		conns:     map[reflect.Value]bool{},
		changed:   make(chan struct{}, 1),
	}
	handler, state, base, connContext := server.Handler, server.ConnState, server.BaseContext, server.ConnContext
	answersOptions := !server.DisableGeneralOptionsHandler
	server.DisableGeneralOptionsHandler = true // net/http would not ask the client to close its connection
	server.Handler = http.HandlerFunc(func(original http.ResponseWriter, r *http.Request) {
		ours, w := s.wrap(original, r)
		returned := false
		defer func() {
			if !returned && ours != nil && r.ProtoMajor == 2 {
				ours.panics()
			}
		}()
		// A handler that switches protocols may add "Connection: Upgrade". Many clients offer h2c in ordinary requests.
		if to := r.Header.Get("Upgrade"); ours == nil && (to == "" || strings.EqualFold(to, "h2c")) {
			s.askToClose(w)
		}
		switch {
		case answersOptions && r.Method == http.MethodOptions && r.RequestURI == "*":
			w.Header().Set("Content-Length", "0")
			if r.ContentLength != 0 {
				_, _ = io.Copy(io.Discard, http.MaxBytesReader(original, r.Body, 4<<10))
			}
		case handler == nil:
			http.DefaultServeMux.ServeHTTP(w, r)
		default:
			handler.ServeHTTP(w, r)
		}
		returned = true
		if ours != nil {
			ours.end()
		} else {
			s.askToClose(w) // the drain may have begun since, and a short response has not been sent yet
		}
	})
	server.ConnState = func(c net.Conn, now http.ConnState) {
		s.track(c, now)
		if state != nil {
			state(c, now)
		}
	}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		_, ok := c.(io.ReaderFrom)
		return context.WithValue(ctx, readsFrom{}, ok)
	}
	if base != nil {
		server.BaseContext = func(l net.Listener) context.Context {
			if once, ok := l.(*listener); ok {
				l = once.Listener
			}
			return base(l)
		}
	}
	return s
}

// askToClose asks the client to close its connection if the server is draining, and reports whether it did.
func (s *Server) askToClose(w http.ResponseWriter) bool {
	draining := s.draining.Load()
	if draining {
		w.Header().Set("Connection", "close") // with HTTP/2, the server sends GOAWAY
	}
	return draining
}

// track records the state of a connection.
func (s *Server) track(c net.Conn, now http.ConnState) {
	key := reflect.ValueOf(c) // net/http passes the same interface value in each call
	s.mu.Lock()
	defer s.mu.Unlock()
	switch now {
	case http.StateNew:
		s.conns[key] = true
		if s.draining.Load() {
			s.limitHeader(key, headerTime-readTime, readLooks)
		}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, key)
		s.wake()
	default:
		if s.conns[key] { // x/net's HTTP/2 also reports connections that have been hijacked
			s.conns[key] = false
		}
	}
}

// limitHeader closes a connection if it has not sent a header after the given time. IdleTimeout does not apply to such
// a connection.
func (s *Server) limitHeader(key reflect.Value, after time.Duration, looks int) {
	due := now().Add(after)
	afterFunc(after, func() {
		s.mu.Lock()
		silent := s.conns[key]
		s.mu.Unlock()
		conn := key.Interface().(net.Conn)
		switch {
		case !silent:
		case looks == readLooks, looks > 0 && (now().Sub(due) > readTime/2 || isUnread(conn)):
			s.limitHeader(key, readTime, looks-1)
		default:
			_ = conn.Close()
		}
	})
}

// wake makes Drain check whether it is complete.
func (s *Server) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Serve accepts and serves connections like [http.Server.Serve]. After a call to Drain, it returns
// [http.ErrServerClosed], but not before the drain is complete. It also returns the errors of http.Server.Serve. Serve
// closes l before it returns.
func (s *Server) Serve(l net.Listener) error {
	return s.serve(l, s.server.Serve)
}

// ServeTLS is like Serve, but it serves TLS as [http.Server.ServeTLS] does. It reads the files, and checks
// TLSConfig.CipherSuites, only then. If it fails after [handover.Process.Ready], no process serves. So load the
// certificate into TLSConfig before Ready, and pass two empty names.
func (s *Server) ServeTLS(l net.Listener, certFile, keyFile string) error {
	return s.serve(l, func(l net.Listener) error { return s.server.ServeTLS(l, certFile, keyFile) })
}

func (s *Server) serve(l net.Listener, serve func(net.Listener) error) error {
	once := &listener{l, sync.OnceValue(l.Close)}
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		_ = l.Close()
		<-s.drained
		return http.ErrServerClosed
	}
	s.listeners[once] = true
	s.mu.Unlock()

	err := serve(once)
	_ = once.Close() // ServeTLS may fail before it does
	s.mu.Lock()
	delete(s.listeners, once)
	s.mu.Unlock()
	s.wake()
	if s.draining.Load() {
		<-s.drained
		return http.ErrServerClosed
	}
	return err
}

// Drain shuts down the server. It closes the listeners that Serve and ServeTLS use, asks each client in the next
// response to close its connection, and waits until all connections are closed. Then it calls [http.Server.Shutdown].
// If ctx is done first, Drain closes all connections with Shutdown and [http.Server.Close], and the error wraps
// ctx.Err(). Drain also returns errors from closing the listeners and from Shutdown. Only the first call drains the
// server. Later calls wait until the drain is complete, and return its result. If their ctx is done first, they return
// ctx.Err().
//
// A client whose response has begun cannot be asked. It may send its next request to this server, so ctx must allow for
// one more request of the longest kind.
//
// A client that sends no further request receives no response, so it can keep its connection open until ctx is done.
// Drain does not close idle connections earlier, because a request may be on its way. It only closes HTTP/1 connections
// that have not sent a complete header within 5 seconds. To limit how long Drain waits for other clients, set these
// fields of the http.Server: IdleTimeout for idle connections, ReadHeaderTimeout for clients that send only part of a
// header, ReadTimeout for those that send only part of a body, and WriteTimeout for those that do not read a response.
// IdleTimeout should be longer than the pauses of clients that cannot send a request again. With HTTP/2, some clients
// lose the response that asks. docs/handover.md names them under Limits, and says what else clients notice of a drain.
//
// A handler whose response never ends, such as a stream of events, must be told before the call to Drain. Drain neither
// waits for connections that a handler has taken over with Hijack, as WebSocket libraries do, nor closes them, so tell
// their handlers too, and wait for them before the program exits. Functions of [http.Server.RegisterOnShutdown] are
// called only when all other connections are closed, or ctx is done. Package h2c of golang.org/x/net hijacks its
// connections too, so set UnencryptedHTTP2 in the Protocols of the http.Server instead.
func (s *Server) Drain(ctx context.Context) error {
	if s.draining.Swap(true) {
		select {
		case <-s.drained:
		case <-ctx.Done():
			select {
			case <-s.drained:
			default:
				return ctx.Err()
			}
		}
		return s.err
	}
	s.err = s.drain(ctx)
	close(s.drained)
	return s.err
}

func (s *Server) drain(ctx context.Context) error {
	s.mu.Lock()
	listeners := slices.Collect(maps.Keys(s.listeners))
	for key := range s.conns {
		s.limitHeader(key, headerTime-readTime, readLooks)
	}
	s.mu.Unlock()
	var err error
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	for _, f := range s.onDrain { // a client that connects again now reaches the successor
		go f()
	}
	for s.isBusy() {
		select {
		case <-s.changed:
		case <-ctx.Done():
			_ = s.server.Shutdown(ctx) // calls the functions of RegisterOnShutdown
			return errors.Join(err, ctx.Err(), s.server.Close())
		}
	}
	return errors.Join(err, s.server.Shutdown(ctx))
}

func (s *Server) isBusy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.listeners) > 0 || len(s.conns) > 0
}
