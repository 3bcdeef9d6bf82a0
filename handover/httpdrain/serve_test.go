//go:build unix

package httpdrain_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/handover"
	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/reexec"
	"github.com/scm-rights/scm/internal/webtest"
)

// runUsualServer prints the address of each socket when it serves.
func runUsualServer(path string) error {
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	borrowed.Close()
	var endpoints []httpdrain.Endpoint
	for _, name := range []string{"plain", "encrypted"} {
		server := webtest.NewHTTP()
		server.BaseContext = func(l net.Listener) context.Context {
			fmt.Println(name, l.Addr())
			return context.Background()
		}
		if name == "encrypted" {
			server.TLSConfig = borrowed.TLS.Clone()
		}
		endpoints = append(endpoints, httpdrain.Endpoint{Name: name, Network: "tcp", Address: "127.0.0.1:0", Server: server})
	}
	again := httpdrain.Endpoint{Name: "second", Network: "tcp", Address: "127.0.0.1:0", Server: endpoints[0].Server}
	return httpdrain.ListenAndServe(handover.Config{PIDFile: path + ".pid"}, path, time.Hour, append(endpoints, again)...)
}

// startUsual starts a server, and returns the URLs of its endpoints.
func startUsual(t *testing.T, args ...string) (first *exec.Cmd, lines *bufio.Scanner, addresses map[string]string) {
	t.Helper()
	first = reexec.Command("usual", args...)
	first.Stderr = os.Stderr
	out, err := first.StdoutPipe()
	if err == nil {
		err = first.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = first.Process.Kill() // an error if the test has waited
		if t.Failed() && serves(args[0]) > 0 {
			_ = syscall.Kill(serves(args[0]), syscall.SIGKILL)
		}
	})
	addresses = map[string]string{}
	lines = bufio.NewScanner(out)
	for len(addresses) < 2 && lines.Scan() {
		if name, address, _ := strings.Cut(lines.Text(), " "); name == "encrypted" {
			addresses[name] = "https://" + address
		} else {
			addresses[name] = "http://" + address
		}
	}
	return first, lines, addresses
}

// serves returns the process in the PID file, or 0.
func serves(path string) int {
	text, _ := os.ReadFile(path + ".pid")
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrade sends SIGHUP to the server, and returns the process that the PID file names then.
func upgrade(t *testing.T, path string) (now int) {
	t.Helper()
	before := serves(path)
	if err := syscall.Kill(before, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a successor serves", func() bool { now = serves(path); return now != 0 && now != before })
	return now
}

// The PID file names a successor before its Ready has returned, so the next SIGHUP may reach it that early.
func TestListenAndServe(t *testing.T) {
	upgrades := 3
	if os.Getenv("SCM_HANDOVER") == "full" {
		upgrades = 20
	}
	path := filepath.Join(t.TempDir(), "socket")
	first, lines, addresses := startUsual(t, path)
	borrowed := httptest.NewTLSServer(nil)
	borrowed.Close()
	var clients []*webtest.Client
	for i := range 8 {
		transport := borrowed.Client().Transport.(*http.Transport).Clone()
		transport.Protocols = protocols([]string{"HTTP/1.1", "HTTP/2"}[i%2])
		transport.DisableKeepAlives = i == 0
		c := &webtest.Client{URL: addresses["plain"], HTTP: http.Client{Transport: transport}, Again: true, Rest: webtest.Done}
		if i >= 4 {
			c.URL = addresses["encrypted"]
		}
		clients = append(clients, c)
	}
	load, err := webtest.Start(clients...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = load.End(0) }()
	for range upgrades {
		upgrade(t, path)
	}
	last := serves(path)
	eventually(t, "the last process answers all clients", func() bool { return load.Answers()[last] == len(clients) })
	totals, err := load.End(0)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d upgrades: %s", upgrades, totals)

	if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	eventually(t, "the last process ends", func() bool {
		for lines.Scan() { // until the last one closes the pipe
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(addresses["plain"], "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if err := first.Wait(); err != nil {
		t.Error("the first process: ", err)
	}
	if pid := serves(path); pid != 0 {
		t.Errorf("the PID file still names %d", pid)
	}
}

// A draining server does not keep a service from stopping.
func TestListenAndServeShortensADrainOnSIGTERM(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first, _, addresses := startUsual(t, path, "stops soon")
	body, end := io.Pipe()
	defer func() { _ = end.Close() }()
	answer, err := webtest.Post(http.DefaultClient, addresses["plain"], body, true)
	if err != nil {
		t.Fatal(err)
	}
	successor := upgrade(t, path)
	eventually(t, "the first server is replaced", func() bool {
		transport := &http.Transport{DisableKeepAlives: true}
		pid, err := (&webtest.Client{URL: addresses["plain"], HTTP: http.Client{Transport: transport}, Rest: webtest.Done}).Ask()
		return err == nil && pid == successor
	})
	limit := time.AfterFunc(timeLimit, func() { _ = first.Process.Kill() })
	defer limit.Stop()
	if err := errors.Join(first.Process.Signal(syscall.SIGTERM), first.Wait()); err != nil {
		t.Error("the first server, after SIGTERM: ", err)
	}
	_ = answer.Body.Close()
	if err := syscall.Kill(successor, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	eventually(t, "the successor ends", func() bool { return serves(path) == 0 })
}
