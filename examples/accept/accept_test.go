//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestWorkersAnswer(t *testing.T) {
	acceptor := program.Start(t, program.Command("127.0.0.1:0"))
	address := acceptor.Listens(t)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() (pid int, err error) {
		response, err := client.Get("http://" + address)
		if err != nil {
			return 0, err
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		return strconv.Atoi(strings.TrimSpace(string(text)))
	}
	answers := func() map[int]int {
		t.Helper()
		by := map[int]int{}
		for range 30 {
			by[program.Must(ask())]++
		}
		return by
	}

	by, victim := answers(), 0
	for pid, count := range by {
		if victim = pid; count != 10 {
			t.Errorf("process %d gave %d answers of 30", pid, count)
		}
	}
	if len(by) != 3 || by[acceptor.PID] != 0 {
		t.Fatalf("answers by process: %v; the acceptor is %d", by, acceptor.PID)
	}
	fdtest.Must(t, syscall.Kill(victim, syscall.SIGKILL))
	fdtest.WaitEnded(t, victim) // until then its end of the socket is open
	if by := answers(); len(by) != 2 || by[victim] != 0 {
		t.Errorf("answers by process: %v, without %d", by, victim)
	}

	fdtest.Must(t, syscall.Kill(acceptor.PID, syscall.SIGTERM))
	_, stderr, err := acceptor.Wait()
	dead, end := fmt.Sprintf("worker %d: ", victim), "accept: signal: killed\n"
	if err == nil || !strings.Contains(stderr, dead) || !strings.HasSuffix(stderr, end) {
		t.Errorf("the acceptor ended with %v and printed %q, want %q and %q", err, stderr, dead, end)
	}
}

// SIGTERM stops a worker with a client that does not send its whole request.
func TestStop(t *testing.T) {
	acceptor := program.Start(t, program.Command("127.0.0.1:0"))
	program.Request(t, acceptor.Listens(t))
	acceptor.Stops(t)("the acceptor")
}

// SIGTERM reaches all workers, even if one of them is stopped. Another SIGTERM ends that one too.
func TestStopAtOnce(t *testing.T) {
	acceptor := program.Start(t, program.Command("127.0.0.1:0"))
	address := acceptor.Listens(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: fdtest.Limit(time.Minute)}
	var pids [workers]int
	for i := range pids {
		response := program.Must(client.Get("http://" + address))
		_ = program.Must(fmt.Fscan(response.Body, &pids[i]))
		fdtest.Must(t, response.Body.Close())
	}
	fdtest.Must(t, syscall.Kill(pids[0], syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pids[0], syscall.SIGKILL) })
	fdtest.Eventually(t, "the worker is stopped", func() bool {
		return strings.HasPrefix(program.Must(procfs.ReadStatus(pids[0])).Field("State"), "T")
	})
	fdtest.Must(t, syscall.Kill(acceptor.PID, syscall.SIGTERM))
	for _, pid := range pids[1:] {
		fdtest.WaitEnded(t, pid)
	}
	fdtest.Must(t, syscall.Kill(acceptor.PID, syscall.SIGTERM))
	if _, stderr, err := acceptor.Wait(); !strings.HasSuffix(stderr, "accept: signal: killed\n") {
		t.Errorf("the acceptor ended with %v and printed %q, want the end of the worker", err, stderr)
	}
}
