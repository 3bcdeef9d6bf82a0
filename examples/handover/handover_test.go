//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scm-rights/scm/examples/internal/program"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// post makes a request that net/http does not retry.
func post(client *http.Client, address string) (answer string, err error) {
	response, err := client.Post("http://"+address, "text/plain", io.NopCloser(strings.NewReader("x")))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), errors.Join(err, response.Body.Close())
}

func TestNoRequestIsLost(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	server := program.Start(t, program.Command(socket, "127.0.0.1:0"))
	address := server.Listens(t)
	// After a successor that fails, the server continues.
	failing, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := failing.Close(); err != nil {
		t.Fatal(err)
	}

	// Half of the clients keep their connections. The others use a new connection for each request.
	var asked, answered atomic.Int64
	var by sync.Map
	var done atomic.Bool
	var clients sync.WaitGroup
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
	answers := func() bool {
		_, yes := by.Load(fmt.Sprintln(server.PID))
		return yes
	}
	program.Eventually(t, "the first server answers", answers)
	for range 3 { // each replaces the one before
		successor := program.Start(t, program.Command(socket, address))
		if _, stderr, err := server.Wait(); err != nil {
			t.Error("the predecessor: ", err, stderr)
		}
		server = successor
		program.Eventually(t, "the successor answers", answers)
	}
	done.Store(true)
	clients.Wait()
	if asked.Load() != answered.Load() || asked.Load() < 100 {
		t.Errorf("%d requests, %d answers", asked.Load(), answered.Load())
	}
}
