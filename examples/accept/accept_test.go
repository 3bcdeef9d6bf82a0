//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestWorkersAnswer(t *testing.T) {
	address := program.Address(t)
	acceptor := program.Start(t, program.Command(address))

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
			pid, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			by[pid]++
		}
		return by
	}
	program.Eventually(t, "a worker answers", func() bool { _, err := ask(); return err == nil })

	by, victim := answers(), 0
	for pid, count := range by {
		if victim = pid; count != 10 {
			t.Errorf("process %d gave %d answers of 30", pid, count)
		}
	}
	if len(by) != 3 || by[acceptor.PID] != 0 {
		t.Fatalf("answers by process: %v; the acceptor is %d", by, acceptor.PID)
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	program.Eventually(t, "the worker is a zombie", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", victim))
		return err == nil && strings.Contains(string(stat), ") Z ")
	})
	if by := answers(); len(by) != 2 || by[victim] != 0 {
		t.Errorf("answers by process: %v, without %d", by, victim)
	}

	if err := syscall.Kill(acceptor.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := acceptor.Wait()
	if err == nil || !strings.Contains(stderr, fmt.Sprintf("worker %d: ", victim)) || !strings.HasSuffix(stderr, "accept: signal: killed\n") {
		t.Errorf("%v: %q", err, stderr)
	}
}
