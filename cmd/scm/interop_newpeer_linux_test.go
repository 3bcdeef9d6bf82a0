package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers"
)

// Each skeleton is a complete peer without its library.
func TestNewPeer(t *testing.T) {
	for language, c := range map[string]struct {
		file  string
		needs string
		build []string
		run   string
	}{
		"c":          {"peer.c", "cc", []string{"cc", "-o", "peer", "peer.c"}, "./peer"},
		"go":         {"peer.go", "go", []string{"go", "build", "-o", "peer", "peer.go"}, "./peer"},
		"rust":       {"peer.rs", "rustc", []string{"rustc", "--edition", "2021", "-O", "peer.rs"}, "./peer"},
		"python":     {"peer.py", "python3", nil, "python3 peer.py"},
		"javascript": {"peer.js", "node", nil, "node peer.js"},
		"java":       {"Peer.java", "javac", nil, "java --add-opens java.base/java.io=ALL-UNNAMED Peer.java"},
		"ruby":       {"peer.rb", "ruby", nil, "ruby peer.rb"},
	} {
		t.Run(language, func(t *testing.T) {
			tool(t, c.needs)
			dir := t.TempDir()
			writePeer(t, language, filepath.Join(dir, c.file))
			if c.build != nil {
				cmd := exec.Command(c.build[0], c.build[1:]...)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			peer := "mine=env -C " + dir + " " + c.run
			if r := command(t, "interop", "smoke", "--builtin=false", "--peer", peer, "--timeout", "1m"); r.code != 0 || !strings.HasPrefix(r.stdout, "mine: well, "+language+" 0, ") {
				t.Errorf("got %+v", r)
			}
			if r := command(t, "interop", "run", "--builtin=false", "--peer", peer, "--run", "basics/pass-one-fd/stream/mine/runner"); r.code != 1 {
				t.Errorf("without a library: %+v", r)
			}
			if uses := peers.SkeletonUses(); !strings.Contains(uses, c.run) || !strings.Contains(uses, " "+c.file+" ") {
				t.Errorf("%s or %s is not in\n%s", c.run, c.file, uses)
			}
		})
	}
	if r := command(t, "interop", "new-peer", "cobol"); r.code != 2 || !strings.Contains(r.stderr, "c, go, rust, python") {
		t.Errorf("got %+v", r)
	}
}

// A skeleton with a library in it passes what that library can do.
func TestNewPeerWithLibrary(t *testing.T) {
	tool(t, "python3")
	file := filepath.Join(t.TempDir(), "peer.py")
	writePeer(t, "python", file)
	send := "\n    with socket.socket(fileno=os.dup(sock)) as s:\n        return socket.send_fds(s, [payload], fds)\n"
	recv := "\n    with socket.socket(fileno=os.dup(sock)) as s:\n        data, control, *_ = s.recvmsg(most, socket.CMSG_LEN(4 * room), socket.MSG_CMSG_CLOEXEC)\n" +
		"    return data, [fd for *_, fds in control for fd in array.array('i', fds)]\n"
	text := strings.NewReplacer("import os\n", "import array\nimport os\nimport socket\n",
		"fds: list[int]) -> int:", "fds: list[int]) -> int:"+send, "room: int) -> tuple[bytes, list[int]]:", "room: int) -> tuple[bytes, list[int]]:"+recv,
	).Replace(contents(t, file))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, "interop", "run", "--builtin=false", "--peer", "mine=python3 "+file, "--run", "basics")
	if r.code != 0 || !regexp.MustCompile(`(?m)^1 mine +[+]+ +[1-9]`).MatchString(r.stdout) {
		t.Errorf("got %+v", r)
	}
}

// writePeer writes what new-peer prints to a file.
func writePeer(t *testing.T, language, file string) {
	t.Helper()
	r := command(t, "interop", "new-peer", language)
	if err := os.WriteFile(file, []byte(r.stdout), 0o600); err != nil || r.code != 0 {
		t.Fatal(err, r)
	}
}

// What the command line says to somebody who tries it.
func TestFirstWords(t *testing.T) {
	plain, none := write(t, "text"), filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--version"}, 0, ", backend "},
		{[]string{"send", plain, plain}, 1, plain + ": connect: connection refused: it exists and is not a socket\n"},
		{[]string{"send", none, plain}, 1, "no such file or directory: no one listens there (--timeout waits)\n"},
		{[]string{"interop", "show", "basics"}, 0, "basics/pass-one-fd\n"},
		{[]string{"interop", "smoke", "python3 peer.py"}, 2, `--peer mine="python3 peer.py"`},
		{[]string{"__complete", "interop", "show", "basics/pass-o"}, 0, "basics/pass-one-fd\n"},
		{[]string{"__complete", "interop", "run", "--run", "basics/pass-o"}, 0, "basics/pass-one-fd\n"},
		{[]string{"__complete", "interop", "new-peer", "py"}, 0, "python\n"},
		{[]string{"__complete", "recv", "--format", "run"}, 0, "runc\n"},
		{[]string{"__complete", "send", "--type", "seq"}, 0, "seqpacket\n"},
	} {
		if r := command(t, c.args...); r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.want) {
			t.Errorf("%q: got %+v, want %q", c.args, r, c.want)
		}
	}
}
