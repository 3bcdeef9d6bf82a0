package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// SIGTERM ends a server that has a request, and another SIGTERM ends it at once.
func TestStop(t *testing.T) {
	var checks []func()
	for _, state := range []string{"serving", "draining", "replaced"} {
		check := startUntil(t, state).Stops(t)
		checks = append(checks, func() { check(state) })
		startUntil(t, state).StopsAtOnce(t, state)
	}
	for _, check := range checks {
		check()
	}
}

// startUntil starts a server, sends it a request, and returns it in the state.
func startUntil(t *testing.T, state string) *program.Process {
	t.Helper()
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	server := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	address := server.Listens(t)
	program.Request(t, address)
	replace := func() { program.Start(t, program.Command(socket, address)).Listens(t) }
	switch state {
	case "draining":
		t.Cleanup(replace) // which makes the successor exit, and so close its output
		fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGHUP))
		fdtest.Eventually(t, "the successor serves", func() bool {
			return strings.Count(server.Stdout(), "listening at ") == 2
		})
	case "replaced":
		replace()
	}
	return server
}

// A signal that arrives before Ready returns stops the server too.
func TestStopDuringStart(t *testing.T) {
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	predecessor := program.Must(net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}))
	defer func() { _ = predecessor.Close() }()
	server := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	fdtest.Must(t, predecessor.SetDeadline(time.Now().Add(fdtest.Limit(time.Minute))))
	conn, err := predecessor.Accept()
	fdtest.Must(t, err)
	defer func() { _ = conn.Close() }()
	server.Stops(t)("a server that starts")
}
