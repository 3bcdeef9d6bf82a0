package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/cmd/scm/internal/programs"
	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/reexec"
)

func init() {
	reexec.Register("proxied client", func([]string) {
		if testserver.Client(os.Getenv("SOCK")) != nil {
			os.Exit(1)
		}
	})
}

// startProxy starts scm proxy with SOCK as the socket for clients, and waits until it listens.
func startProxy(t *testing.T, socket, connect string, flags ...string) (stop func() result) {
	t.Helper()
	p := start(t, append([]string{"proxy", "--listen", socket, "--connect", connect}, flags...)...)
	eventually(t, "scm proxy does not listen", func() bool { return programs.Listening(socket) })
	return func() result {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		return p.wait()
	}
}

// startServer starts a test server.
func startServer(t *testing.T, mode, socket string) string {
	t.Helper()
	cmd := reexec.Command("poked server", mode, "stream", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "the server does not listen", func() bool { return programs.Listening(socket) })
	return socket
}

// If the type of socket is known, the proxy makes no connection of its own to a server that serves only one.
func TestProxyOfAServerWithARelativePath(t *testing.T) {
	program(t, "scm") // builds it in this directory
	t.Chdir(t.TempDir())
	server, err := filepath.Abs(startServer(t, "once", "server"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "proxy")
	stop := startProxy(t, socket, server, "--type=stream")
	if err := testserver.Client(socket); err != nil {
		t.Error(err)
	}
	stop()
}

// A client does not notice the proxy, and a fault changes what the server receives.
func TestProxy(t *testing.T) {
	server := startServer(t, "correct", filepath.Join(t.TempDir(), "server"))
	for fault, works := range map[string]bool{"none": true, "extra": false, "extra-all": false, "many": false, "opath": true} {
		t.Run(fault, func(t *testing.T) {
			socket, first := filepath.Join(t.TempDir(), "proxy"), filepath.Join(t.TempDir(), "first")
			stop := startProxy(t, socket, server, "--fault", fault, "--save-first", first)
			if err := testserver.Client(socket); (err == nil) != works {
				t.Errorf("the client: %v; it works: want %v", err, works)
			}
			if r := stop(); r.code != 128+int(syscall.SIGTERM) || r.text() != "scm: terminated\n" {
				t.Errorf("after SIGTERM: got %+v, want scm: terminated", r)
			}
			if text := contents(t, first); text != "" {
				t.Errorf("saved %q, but the first message has a descriptor", text)
			}
			if _, err := os.Stat(socket); !os.IsNotExist(err) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}

// The saved bytes end before the first descriptor, and are those of the first client without one if no client sends
// any.
func TestProxySavesTheFirstBytes(t *testing.T) {
	for name, c := range map[string]struct {
		clients []string // the bytes of each one, with descriptors from "|"
		want    string
	}{
		"a client with a descriptor": {[]string{"ping\n", "ping\nping\n|take 1\n"}, "ping\nping\n"},
		"no descriptor":              {[]string{"ping\n", "ping\nping\n"}, "ping\n"},
	} {
		t.Run(name, func(t *testing.T) {
			socket, first := filepath.Join(t.TempDir(), "proxy"), filepath.Join(t.TempDir(), "first")
			stop := startProxy(t, socket, startServer(t, "correct", filepath.Join(t.TempDir(), "server")), "--save-first", first)
			for _, text := range c.clients {
				before, after, _ := strings.Cut(text, "|")
				sendLines(t, socket, before, after)
			}
			stop()
			if got := contents(t, first); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// sendLines sends lines to a test server, those after the first argument with a descriptor each, and waits for the
// answers.
func sendLines(t *testing.T, socket, before, after string) {
	t.Helper()
	c, err := scm.Dial(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, text := range []string{before, after} {
		for line := range strings.Lines(text) {
			var fds []int
			if i == 1 {
				fds = []int{0}
			}
			if _, err := c.WriteFDs([]byte(line), fds...); err != nil {
				t.Fatalf("send %q: %v", line, err)
			}
			answer := make([]byte, 10)
			if n, err := c.Read(answer); n != len("ok\n") || err != nil {
				t.Fatalf("the answer to %q is %q, %v; want ok", line, answer[:n], err)
			}
		}
	}
}

func TestProxyUsage(t *testing.T) {
	long := strings.Repeat("x", 108)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--listen x", 2, "scm: proxy needs the socket of a server to --connect to…"},
		{"--connect x", 2, "scm: proxy needs the socket to --listen on…"},
		{"--listen x --connect y --fault extras", 2, `scm: unknown --fault "extras": use none, extra, extra-all, many, opath…`},
		{"--listen x --connect y --type raw", 2, `scm: unknown --type "raw": use stream, dgram or seqpacket…`},
		{"--listen x --connect y --type dgram", 4, "scm: y is a datagram socket, and a proxy needs connections: use scm poke\n"},
		{"--listen x --connect y", 4, "scm: connect to y: no such file or directory\n"},
		{"tests", 2, `scm: unknown command "tests" for "scm proxy"; did you mean "scm proxy test"?…`},
		{"test --socket x --server y", 2, "scm: proxy test needs the commands --server and --client…"},
		{"test --server x --client y", 2, "scm: proxy test needs the --socket of the server…"},
		{"--listen x --connect " + long, 2, "scm: " + long + ": the address of a socket has at most 107 bytes, and this one has 108…"},
		{"test --server x --client y --socket " + long, 2, "scm: " + long + ": the address of a socket has at most 107 bytes, and this one has 108…"},
		{"test x", 2, `scm: unexpected argument "x": use --server and --client…`},
	} {
		if r := command(t, append([]string{"proxy"}, strings.Fields(c.args)...)...); r.code != c.code || r.stdout != "" || !like(r.stderr, c.want) {
			t.Errorf("scm proxy %s: got %+v, want %d and %s", c.args, r, c.code, c.want)
		}
	}
}

func TestProxyTestStatus(t *testing.T) {
	accept := write(t, "extra* leak@poked it is a store\nmany leak@poked it is a store\nbyte leak@poked of poke\n")
	for _, c := range []struct {
		name, mode, client string
		flags              []string
		code               int
		last               string
	}{
		{"no findings", "correct", "", nil, 0, "poked: no findings"},
		{"findings", "all", "", []string{"--settle=10ms"}, 1, "poked: 3 findings"},
		{"accepted", "all", "", []string{"--settle=10ms", "--accept", accept}, 0, "poked: no findings, 3 accepted, 1 accepted line set aside"},
		{"no client", "all", "exit 3", nil, 4, "poked: could not run: none: the client fails without the proxy: exit status 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			client := c.client
			if client == "" {
				client = shellCommand("proxied client")
			}
			args := []string{"proxy", "test", "--name=poked", "--timeout=1m", "--client-timeout=1m", "--settle=1m", "--socket", dir + "/socket",
				"--server", shellCommand("poked server", c.mode, "stream", dir+"/socket"), "--client", client, "--report", dir + "/r.json"}
			r := command(t, append(args, c.flags...)...)
			lines := strings.Split(strings.TrimSpace(r.text()), "\n")
			if r.code != c.code || lines[len(lines)-1] != c.last {
				t.Errorf("exit status %d, want %d and %s\n%s", r.code, c.code, c.last, r.text())
			}
			var got programs.Report
			err := json.Unmarshal([]byte(contents(t, dir+"/r.json")), &got)
			const tool = "scm proxy test"
			if err != nil || got.Tool != tool || c.code != 4 && len(got.Trials) != len(programs.Faults) {
				t.Errorf("%v; got %+v, want %d trials of %s", err, got, len(programs.Faults), tool)
			}
		})
	}
}

// shellCommand returns a command for /bin/sh that executes a registered program.
func shellCommand(name string, args ...string) string {
	return "exec '" + strings.Join(reexec.CommandLine(name, args...), "' '") + "'"
}
