//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// On SIGHUP, the server starts a successor and exits. s6-supervise does not know the successor, and starts the server again,
// which takes over from it.
func TestS6(t *testing.T) {
	for _, name := range []string{"s6-supervise", "s6-svc", "s6-svstat"} {
		if _, err := exec.LookPath(name); err != nil {
			fdtest.Missing(t, "no "+name+" in PATH (Debian: s6)")
		}
	}
	service := t.TempDir()
	server := program.Command(filepath.Join(service, "socket"), "127.0.0.1:0")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s'\n", strings.Join(server.Args, "' '"))
	if err := os.WriteFile(filepath.Join(service, "run"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("s6-supervise", service)
	cmd.Env = server.Env
	supervisor := program.Start(t, cmd)
	address := supervisor.Listens(t)

	var asked, answered atomic.Int64
	var by sync.Map
	var done atomic.Bool
	var clients sync.WaitGroup
	t.Cleanup(func() {
		done.Store(true)
		clients.Wait()
		_ = syscall.Kill(supervisor.PID, syscall.SIGTERM) // ends the service too
		_, _, _ = supervisor.Wait()
		for { // successors of a service that failed to take over
			answer, err := post(http.DefaultClient, address)
			pid, notPID := strconv.Atoi(strings.TrimSpace(answer))
			if err != nil || notPID != nil {
				break
			}
			t.Errorf("process %d still serves", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	for i := range 8 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			defer client.CloseIdleConnections()
			for !done.Load() {
				asked.Add(1)
				if server, err := post(client, address); err != nil {
					t.Error(err)
				} else {
					by.Store(server, nil)
					answered.Add(1)
				}
			}
		}()
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, append(args, service)...).Output()
		if err != nil {
			t.Fatal(name, ": ", err)
		}
		return string(out)
	}
	supervised := func() string { return run("s6-svstat", "-o", "pid") }
	for range 8 {
		var old string
		program.Eventually(t, "the supervised process answers", func() bool {
			old = supervised() // s6 may say so only after the process has begun to answer
			_, yes := by.Load(old)
			return yes
		})
		run("s6-svc", "-h")
		program.Eventually(t, "another supervised process answers", func() bool {
			now := supervised()
			_, yes := by.Load(now)
			return yes && now != old
		})
	}
	done.Store(true)
	clients.Wait()
	t.Logf("%d requests, %d answers", asked.Load(), answered.Load())
	if asked.Load() != answered.Load() {
		t.Fail()
	}
}
