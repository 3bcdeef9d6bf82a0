package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers"
	"github.com/scm-rights/scm/interop/report"
)

// pythonPeer writes the Python skeleton and the adapter for recv_fds, followed by more code, and returns the
// command that runs it. Unlike that adapter, it makes the received descriptors close-on-exec.
func pythonPeer(t *testing.T, more string) string {
	t.Helper()
	tool(t, "python3")
	dir := t.TempDir()
	writePeer(t, "python", filepath.Join(dir, "peer.py"))
	const folder, serve = "../../interop/peers/python/", "SendFDs().serve()\n"
	adapter, found := strings.CutSuffix(contents(t, folder+"send_fds.py"), serve)
	if !found {
		t.Fatalf("send_fds.py does not end with %q", serve)
	}
	const closing = `
import os
from peer import Unsupported

class Mine(SendFDs):
    def library_recv(self, *args):
        payload, fds, flags = super().library_recv(*args)
        for fd in fds:
            os.set_inheritable(fd, False)
        return payload, fds, flags

`
	for name, text := range map[string]string{
		"borrowed.py": contents(t, folder+"borrowed.py"),
		"mine.py":     adapter + closing + more + "\nMine().serve()\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "python3 -B " + filepath.Join(dir, "mine.py")
}

// A run names each peer of a list that was not built once, with the command that helps.
func TestUnbuiltPeers(t *testing.T) {
	list := filepath.Join(t.TempDir(), "peers.json")
	const why = "no cargo in PATH"
	err := peers.WriteList(list, []peers.Built{{Name: "one", Why: why, Setup: "interop"}, {Name: "two", Why: why, Setup: "interop"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\nnot used: one two: no cargo in PATH; to install it: make setup-interop\n"
	if r := command(t, runFew("--peers", list)...); r.code != 0 || !strings.Contains(r.stdout, want) || strings.Count(r.stdout, "two") != 1 {
		t.Errorf("got %+v", r)
	}
	r := command(t, "interop", "smoke", "--peers", list)
	if want := "one: unavailable: no cargo in PATH; to install it: make setup-interop\n"; r.code != 4 || !strings.Contains(r.stdout, want) {
		t.Errorf("got %+v", r)
	}
}

// A run ends when it finds a peer that answers "unsupported" to every send or every receive, and
// reports nothing else. Other peers that do not support something are tested as before.
func TestUnfilledPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: neither the user nor the backend matters to these messages")
	}
	const (
		noSend    = "class Mine(Mine):\n    def library_send(self, *_):\n        raise Unsupported\n"
		noRecv    = "class Mine(Mine):\n    def library_recv(self, *_):\n        raise Unsupported\n"
		oneToSend = "class Mine(Mine):\n    def library_send(self, *args):\n        if len(args[2]) != 1:\n            raise Unsupported\n" +
			"        return super().library_send(*args)\n"
		failing = "class Mine(Mine):\n    def library_send(self, *_):\n        raise ValueError\n"
	)
	all := []string{"--run", "basics/pass-one-fd/stream/{mine/runner,runner/mine}"}
	sends, receives := []string{"--run", "basics/pass-one-fd/stream/mine/runner"}, []string{"--run", "basics/pass-one-fd/stream/runner/mine"}
	unfilledSend := `scm: mine answers "unsupported" to every send: fill in library_send; if the library only receives, call sendmsg there` + "\n"
	unfilledRecv := `scm: mine answers "unsupported" to every receive: fill in library_recv; if the library only sends, call recvmsg there` + "\n"
	for _, c := range []struct {
		name, more string
		args       []string
		code       int
		stderr     string
	}{
		{"both functions are filled in", "", all, 0, ""},
		{"the send is not", noSend, all, 4, unfilledSend},
		{"the receive is not", noRecv, all, 4, unfilledRecv},
		{"the send is not, and only the runner sends", noSend, receives, 0, ""},
		{"the receive is not, and only the runner receives", noRecv, sends, 0, ""},
		{"the send is not, and that is expected", noSend, append(all, "--expect", write(t, "basics contract@mine:sends it only receives")), 0, ""},
		{"it supports only sends of one descriptor", oneToSend, all, 0, ""},
		{"the send fails", failing, all, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := command(t, append([]string{"interop", "run", "--builtin=false", "--peer", "mine=" + pythonPeer(t, c.more)}, c.args...)...)
			if r.code != c.code || r.stderr != c.stderr || c.code == 4 && r.stdout != "" {
				t.Errorf("got %+v", r)
			}
		})
	}
	t.Run("the peer starts slowly, but --timeout is long", func(t *testing.T) {
		t.Parallel()
		// Only the third start is slow. It is there to find out why the case failed.
		slow := fmt.Sprintf(`sh -c 'echo >>%[1]s; [ $(wc -l <%[1]s) -lt 3 ] || sleep 11; exec %[2]s'`, write(t, ""), pythonPeer(t, noSend))
		r := command(t, append([]string{"interop", "run", "--builtin=false", "--peer", "mine=" + slow, "--timeout", "1m"}, sends...)...)
		if r.code != 4 || r.stderr != unfilledSend {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("a peer in a list", func(t *testing.T) {
		list := filepath.Join(t.TempDir(), "peers.json")
		command1 := strings.Fields(pythonPeer(t, noSend))
		command2 := strings.Fields(pythonPeer(t, noSend+"\n\n"+noRecv))
		err := peers.WriteList(list, []peers.Built{{Name: "one", Command: command1}, {Name: "two", Command: command2}})
		if err != nil {
			t.Fatal(err)
		}
		wants := []string{
			strings.ReplaceAll(unfilledSend, "mine", "one"),
			`scm: two answers "unsupported" to every send and every receive: fill in library_send and library_recv` + "\n",
		}
		json := filepath.Join(t.TempDir(), "r.json")
		r := command(t, "interop", "run", "--peers", list, "--jobs", "8", "--run", "basics", "--report", json, "--report", json+"l")
		if r.code != 4 || r.stdout != "" || !slices.Contains(wants, r.stderr) {
			t.Errorf("got %+v", r)
		}
		for _, file := range []string{json, json + "l"} {
			if whole, err := report.Read(file); err != nil || "scm: "+whole.Cut+"\n" != r.stderr || whole.Verdicts() > 0 {
				t.Errorf("%s: %+v, %v", file, whole, err)
			}
		}
	})
}
