//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/webtest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestNoRequestIsLost(t *testing.T) {
	l := program.Must(net.Listen("tcp", "127.0.0.1:0"))
	address := l.Addr().String()
	fdtest.Must(t, l.Close())
	server := program.Start(t, program.Command(filepath.Join(fdtest.ShortDir(t), "socket"), address))
	fdtest.Eventually(t, "the server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	})
	var clients []*webtest.Client
	for i := range 4 {
		transport := &http.Transport{DisableKeepAlives: i%2 == 0}
		clients = append(clients, &webtest.Client{URL: "http://" + address, HTTP: http.Client{Transport: transport}})
	}
	load := program.Must(webtest.Start(clients...))
	now, seen := server.PID, map[int]bool{server.PID: true}
	for n := range 3 {
		fdtest.Must(t, syscall.Kill(now, syscall.SIGHUP))
		fdtest.Eventually(t, fmt.Sprint("successor ", n, " answers all clients"), func() bool {
			for pid, answered := range load.Answers() {
				if !seen[pid] && answered == len(clients) {
					now, seen[pid] = pid, true
					return true
				}
			}
			return false
		})
	}
	if totals, err := load.End(0); err != nil {
		t.Errorf("%v, want no failed request; %s", err, totals)
	}
	fdtest.Must(t, syscall.Kill(now, syscall.SIGTERM))
	server.Succeeds(t, "the first server") // returns when the last one has closed its output
}

func TestUsage(t *testing.T) {
	if _, stderr, err := program.Start(t, program.Command()).Wait(); err == nil || !strings.Contains(stderr, "usage: upgrade SOCKET ADDRESS") {
		t.Errorf("without arguments, the program printed %q, and ended: %v", stderr, err)
	}
}
