//go:build linux

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/webtest"
)

// On SIGHUP, the server starts a successor and exits. s6-supervise does not know the successor, and starts the server again,
// which takes over from it.
func TestS6(t *testing.T) {
	for _, name := range []string{"s6-supervise", "s6-svc", "s6-svstat"} {
		if _, err := exec.LookPath(name); err != nil {
			fdtest.Missing(t, name, "no "+name+" in PATH (Debian: s6)")
		}
	}
	service := fdtest.ShortDir(t)
	server := program.Command(filepath.Join(service, "socket"), "127.0.0.1:0")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s'\n", strings.Join(server.Args, "' '"))
	fdtest.Must(t, os.WriteFile(filepath.Join(service, "run"), []byte(script), 0o700))
	cmd := exec.Command("s6-supervise", service)
	cmd.Env = server.Env
	supervisor := program.Start(t, cmd)
	address := supervisor.Listens(t)

	t.Cleanup(func() {
		_ = syscall.Kill(supervisor.PID, syscall.SIGTERM) // ends the service too
		_, _, _ = supervisor.Wait()
		last := &webtest.Client{URL: "http://" + address}
		for { // successors of a service that failed to take over
			pid, err := last.Ask()
			if err != nil {
				break
			}
			t.Errorf("process %d still serves", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	load := start(t, address)
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, append(args, service)...).Output()
		if err != nil {
			t.Fatal(name, ": ", err)
		}
		return string(out)
	}
	supervised := func() (pid int) {
		_, _ = fmt.Sscan(run("s6-svstat", "-o", "pid"), &pid)
		return pid
	}
	for range 3 { // s6-supervise waits for a second each time, in which the clients use the processors
		var old int
		fdtest.Eventually(t, "the supervised process answers", func() bool {
			old = supervised() // s6 may say so only after the process has begun to answer
			return load.Answers()[old] > 0
		})
		run("s6-svc", "-h")
		fdtest.Eventually(t, "another supervised process answers", func() bool {
			now := supervised()
			return load.Answers()[now] > 0 && now != old
		})
	}
	totals, err := load.End(0)
	t.Log(totals)
	if err != nil {
		t.Error(err)
	}
}
