package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

// snippetServers contain servers for the functions of docs/testing-a-daemon.md, and the line of each that closes a
// descriptor.
// A server that gets no credentials ends.
var snippetServers = map[string]struct{ file, closes, forgets, server string }{
	"c": {"server.c", "close(fd);", "(void)fd;", `
#include <sys/un.h>

int
main(int argc, char **argv)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int on = 1, sock, l = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(name.sun_path, argv[argc - 1], sizeof(name.sun_path) - 1);
	if (bind(l, (struct sockaddr *)&name, sizeof(name)) != 0 ||
	    setsockopt(l, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0 || listen(l, 9) != 0)
		return 1;
	while ((sock = accept(l, NULL, NULL)) >= 0) {
		struct ucred sender = {0};
		char buf[8192];

		while (receive_from(sock, buf, sizeof(buf), &sender) > 0)
			if (sender.pid == 0)
				return 1;
		close(sock);
	}
	return 1;
}
`},
	"go": {"server.go", "syscall.Close(fd)", "_ = fd", `
func main() {
	if len(os.Args) == 1 {
		conn, err := net.FileConn(os.Stdin)
		for range 2 {
			if err == nil {
				receiveFrom(conn.(*net.UnixConn), nil)
			}
		}
		return
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: os.Args[1]})
	for err == nil {
		var conn *net.UnixConn
		if conn, err = l.AcceptUnix(); err != nil {
			break
		}
		raw, _ := conn.SyscallConn()
		raw.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PASSCRED, 1)
		})
		for {
			n, sender, err := receiveFrom(conn, make([]byte, 8192))
			if err != nil { // the end of the stream, too
				break
			}
			if n == 0 || sender == nil || sender.Pid == 0 {
				panic("no credentials")
			}
		}
		conn.Close()
	}
	panic(err)
}
`},
}

// The functions for daemons that want only credentials keep nothing. Without the line that closes, they do.
func TestPokeSnippets(t *testing.T) {
	page := contents(t, "../../docs/testing-a-daemon.md")
	for language, s := range snippetServers {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			snippet := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(page)
			if snippet == nil || strings.Count(snippet[1], s.closes) != 1 {
				t.Fatal("docs/testing-a-daemon.md has no function that closes descriptors")
			}
			if language == "c" {
				fdtest.Program(t, "cc")
			}
			for closes, code := range map[string]int{s.closes: 0, s.forgets: 1} {
				dir := fdtest.ShortDir(t)
				source := strings.Replace(snippet[1], s.closes, closes, 1) + s.server
				build := exec.Command("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", "server", s.file)
				if language == "go" {
					source = "package main\n\nimport (\n\t\"net\"\n\t\"os\"\n\t\"syscall\"\n)\n\n" + source
					build = exec.Command("go", "build", "-o", "server", s.file)
				}
				build.Dir = dir
				fdtest.Must(t, os.WriteFile(filepath.Join(dir, s.file), []byte(source), 0o600))
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if language == "go" && code == 0 {
					receivesEmptyPacket(t, dir+"/server")
				}
				socket := filepath.Join(dir, "socket")
				r := command(t, "poke", "--timeout=1m", "--settle=1s", "--socket", socket, "--", dir+"/server", socket)
				if r.code != code || code == 1 && !strings.Contains(r.stdout, "FOUND leak@server: ") {
					t.Errorf("with %s: exit status %d, want %d\n%s", closes, r.code, code, r.text())
				}
			}
		})
	}
}

// receivesEmptyPacket checks that the server closes the descriptor of an empty packet, for which net returns io.EOF.
func receivesEmptyPacket(t *testing.T, server string) {
	a, b, err := scm.Pair("unixpacket")
	fdtest.Must(t, err)
	r, w, err := os.Pipe()
	fdtest.Must(t, err)
	defer r.Close()
	_, err = a.WriteFiles(nil, w)
	stdin, err2 := b.File()
	fdtest.Must(t, errors.Join(err, err2, w.Close(), b.Close()))
	cmd := exec.Command(server)
	cmd.Stdin = stdin
	err = errors.Join(cmd.Start(), stdin.Close(), r.SetReadDeadline(time.Now().Add(time.Minute)))
	if n, err2 := r.Read(make([]byte, 1)); err != nil || err2 != io.EOF {
		t.Errorf("an empty packet: got %d, %v of the pipe, want io.EOF: %v", n, err2, err)
	}
	if err := errors.Join(a.Close(), cmd.Wait()); err != nil {
		t.Errorf("the server did not end well: %v", err)
	}
}
