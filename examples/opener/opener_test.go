//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

// nobody is the user of the clients: another one, if the tests may change it.
func nobody() (user int, attr *syscall.SysProcAttr) {
	if user = os.Getuid(); user == 0 {
		user = 65534
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return user, attr
}

// start starts a server for a user, and waits until it accepts connections.
func start(t *testing.T, folder string, user int) (socket string, server *program.Process) {
	t.Helper()
	dir := fdtest.ShortDir(t)
	fdtest.Must(t, os.Chmod(dir, 0o755))
	socket = filepath.Join(dir, "socket")
	server = program.Start(t, program.Command(socket, folder, strconv.Itoa(user)))
	fdtest.Eventually(t, "the server listens", func() bool {
		conn, err := scm.Dial(context.Background(), "unix", socket)
		return err == nil && conn.Close() == nil
	})
	return socket, server
}

func TestOpener(t *testing.T) {
	folder := t.TempDir() // other users cannot enter it
	for _, err := range []error{
		os.WriteFile(folder+"/motd", []byte("hello\n"), 0o600),
		os.Symlink("motd", folder+"/link"),
		os.Symlink("/etc/passwd", folder+"/outside"),
		os.Mkdir(folder+"/folder", 0o700),
		unix.Mkfifo(folder+"/fifo", 0o600),
	} {
		fdtest.Must(t, err)
	}
	user, attr := nobody()
	socket, server := start(t, folder, user)
	public := program.Public(t)
	for name, want := range map[string]struct{ stdout, stderr string }{
		"motd":           {stdout: "hello\n"},
		"folder/../motd": {stdout: "hello\n"},
		"link":           {stdout: "hello\n"},
		"outside":        {stderr: "path escapes"},
		"../motd":        {stderr: "path escapes"},
		"/etc/passwd":    {stderr: "path escapes"},
		"folder":         {stderr: "refused: \"not a regular file"},
		"fifo":           {stderr: "refused: \"not a regular file"},
		"none":           {stderr: "no such file"},
		"":               {stderr: "refused: "},
	} {
		cmd := program.Command(socket, name)
		cmd.Path, cmd.SysProcAttr = public, attr
		out, errs, err := program.Start(t, cmd).Wait()
		if (err == nil) != (want.stderr == "") || out != want.stdout || !strings.Contains(errs, want.stderr) {
			t.Errorf("%s: printed %q and %q, and ended with %v; want %+q", name, out, errs, err, want)
		}
	}
	fdtest.Must(t, syscall.Kill(server.PID, syscall.SIGTERM))
	server.Succeeds(t, "the server, after SIGTERM,")
}

// A client of another user reads why it was rejected, whether Check rejects it before or after it sends a name.
func TestOtherUser(t *testing.T) {
	socket, _ := start(t, t.TempDir(), os.Getuid()+1)
	want := "refused: \"user " + strconv.Itoa(os.Getuid()) + " may not ask\""
	for range 50 {
		if err := receive(context.Background(), socket, "motd"); err == nil || err.Error() != want {
			t.Fatalf("got %v, want %s", err, want)
		}
	}
}

// The client accepts nothing but a regular file that it can only read, and first says what it received instead, even if
// the server has not read the name.
func TestHostileServer(t *testing.T) {
	r, w, err := os.Pipe()
	fdtest.Must(t, err)
	fdtest.Must(t, w.Close()) // so that a client that accepts the pipe does not wait
	writable := program.Must(os.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600))
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	l := program.Must(scm.Listen(context.Background(), "unix", socket))
	defer func() { _, _, _ = l.Close(), r.Close(), writable.Close() }()
	for _, c := range []struct {
		files []*os.File
		want  string
	}{
		{[]*os.File{r}, "got a pipe"},
		{[]*os.File{writable}, "got a regular file (read-write)"},
		{[]*os.File{writable, r}, "more than"},
		{nil, `refused: "\x1b[2Jok"`},
	} {
		failed := make(chan error)
		long := strings.Repeat("x", 1<<20) // its write waits, and then fails with EPIPE
		go func() { failed <- receive(context.Background(), socket, long) }()
		conn := program.Must(l.AcceptConn())
		fdtest.Must(t, conn.CloseRead())
		_, _ = io.Copy(io.Discard, conn) // what has been written
		_, _ = conn.WriteFiles([]byte("\x1b[2Jok"), c.files...)
		if first, _, _ := strings.Cut(fmt.Sprint(<-failed), "\n"); !strings.Contains(first, c.want) {
			t.Errorf("got %s, want an error with %q", first, c.want)
		}
		_ = conn.Close()
	}
}

// The first signal cannot end a read of a file that the server serves itself. The second one ends the client.
func TestSignalDuringRead(t *testing.T) {
	fuse := fusetest.Mount(t, fusetest.Options{})
	socket := filepath.Join(fdtest.ShortDir(t), "socket")
	l := program.Must(scm.Listen(context.Background(), "unix", socket))
	defer func() { _ = l.Close() }()
	fdtest.Must(t, l.SetDeadline(time.Now().Add(fdtest.Limit(time.Minute))))
	client := program.Start(t, program.Command(socket, "motd"))
	conn := program.Must(l.AcceptConn())
	defer func() { _ = conn.Close() }()
	file := program.Must(os.Open(fuse.File))
	fuse.Hush(fusetest.Read)
	_, err := conn.WriteFiles([]byte("ok"), file)
	fdtest.Must(t, errors.Join(err, file.Close()))
	select {
	case <-fuse.Waiting:
	case <-time.After(fdtest.Limit(time.Minute)):
		t.Fatal("not within a minute: the client reads the file")
	}
	client.StopsAtOnce(t, "a client that reads")
}
