//go:build unix

// Command upgrade is an HTTP server that starts a new version of itself on SIGHUP, without losing a request.
//
//	upgrade SOCKET ADDRESS
//
// It listens at ADDRESS, and waits for its successor at SOCKET. SIGTERM shuts it down.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: upgrade SOCKET ADDRESS")
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(answer),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       30 * time.Second,
	}
	web := httpdrain.Endpoint{Name: "web", Network: "tcp", Address: os.Args[2], Server: server}
	if err := httpdrain.ListenAndServe(handover.Config{}, os.Args[1], time.Minute, web); err != nil {
		log.Fatal(err)
	}
}

func answer(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, os.Getpid()) }
