//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/scm-rights/scm/handover/httpdrain"
)

type web struct {
	server  *httpdrain.Server
	ending  context.Context // done when the server drains
	end     context.CancelFunc
	sockets sync.WaitGroup
}

func newWeb() *web {
	s := new(web)
	s.ending, s.end = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("/events", s.events)
	mux.HandleFunc("/socket", s.socket)
	s.server = httpdrain.New(&http.Server{Handler: mux, ReadHeaderTimeout: timeout / 6, IdleTimeout: timeout / 2})
	return s
}

func (s *web) serve(l net.Listener) error { return s.server.Serve(l) }

// events is a stream of server-sent events.
func (s *web) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // otherwise, Drain waits for the idle connection after the stream's end
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", os.Getpid())
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.ending.Done():
			return // the client connects again, to the new version
		}
	}
}

// socket is a WebSocket that answers each message with the process ID.
func (s *web) socket(w http.ResponseWriter, r *http.Request) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer context.AfterFunc(s.ending, func() { _ = conn.Close(websocket.StatusGoingAway, "restart") })()
	for {
		if _, _, err := conn.Read(context.Background()); err != nil {
			return
		}
		if err := conn.Write(context.Background(), websocket.MessageText, fmt.Append(nil, os.Getpid())); err != nil {
			return
		}
	}
}

func (s *web) drain(ctx context.Context, _ net.Listener) error {
	s.end() // before Drain, which waits for event streams
	err := s.server.Drain(ctx)
	s.sockets.Wait()
	return err
}
