//go:build unix

package webtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

// Done is the rest of an answer.
const Done = "done\n"

// NewHTTP returns a server for HTTP/1.1 and HTTP/2. It answers a request with its process ID at once, and
// with Done when the request's body has ended.
func NewHTTP() *http.Server {
	s := &http.Server{Handler: http.HandlerFunc(answer), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// A Server is a server that is replaced as docs/handover.md says, on SIGHUP or by another process
// with the same path.
type Server struct {
	handover.Config
	HTTP *http.Server // of NewHTTP

	// Prepare returns the listeners.
	Prepare func(ctx context.Context, p *handover.Process) ([]net.Listener, error)
	// Serving is called after Ready.
	Serving func()
	// Failed is called if Upgrade has failed.
	Failed func(error)
}

// Run runs the server until it has been replaced, or has received SIGTERM.
func (s *Server) Run(path string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	p, err := s.Start(ctx, path)
	if err != nil {
		return err
	}
	defer func() { p.Fail(err) }()
	listeners, err := s.Prepare(ctx, p)
	if err != nil {
		return err
	}
	server := httpdrain.New(s.HTTP)
	if err := p.Ready(ctx); err != nil {
		return err
	}
	s.Serving()
	go func() {
		drain, limit := s.await(ctx, p, hangup)
		limited, cancel := context.WithTimeout(drain, limit)
		defer cancel()
		_ = server.Drain(limited)
	}()
	served := make(chan error)
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
	}
	for range listeners {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

// await returns when the server is to end, and how long it may drain.
func (s *Server) await(ctx context.Context, p *handover.Process, hangup <-chan os.Signal) (context.Context, time.Duration) {
	for {
		select {
		case <-hangup:
			go func() {
				if err := p.Upgrade(ctx, nil); err != nil {
					s.Failed(err)
				}
			}()
		case <-p.Replaced():
			return ctx, time.Hour // SIGTERM ends the drain
		case <-ctx.Done():
			_ = p.Close()
			return context.Background(), time.Second // the service stops
		}
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 always is
	_, _ = fmt.Fprintln(w, os.Getpid())
	if r.Header.Get("Hold") != "" {
		_ = control.Flush()
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		_, _ = io.WriteString(w, Done)
	}
}
