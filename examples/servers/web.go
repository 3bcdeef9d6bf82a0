//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

// socketTime limits how long the program waits for WebSockets after the drain.
const socketTime = 10 * time.Second

type web struct {
	ending  context.Context // done when the server drains
	end     context.CancelFunc
	sockets sync.WaitGroup
}

func runWeb(path, address string) error {
	s := new(web)
	s.ending, s.end = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("/events", s.events)
	mux.HandleFunc("/socket", s.socket)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: timeout / 6, IdleTimeout: timeout / 2}
	web := httpdrain.Endpoint{Name: "web", Network: "tcp", Address: address, Server: server, OnDrain: s.end}
	// The first signal ends the process neither during the drain nor while it waits for WebSockets.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second one does
	err := httpdrain.ListenAndServe(handover.Config{}, path, timeout, web)
	s.wait()
	return err
}

// events is a stream of server-sent events.
func (s *web) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Connection", "close") // so that the client opens a new connection after the stream's end
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for s.ending.Err() == nil {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", os.Getpid())
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.ending.Done(): // the client connects again, to the new version
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

// wait waits for the WebSockets, because ListenAndServe does not.
func (s *web) wait() {
	ended := make(chan struct{})
	go func() { s.sockets.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(socketTime):
	}
}
