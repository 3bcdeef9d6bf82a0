//go:build linux

package questions

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/wire"
)

// service prints how many descriptors it was started with. With an argument, it is sendTooMany, or prints whether its
// manager stores descriptors.
func service() {
	if len(os.Args) > 1 && os.Args[1] == "in flight" {
		if err := sendTooMany(); err != nil {
			log.Fatal(err)
		}
		return
	}
	if len(os.Args) == 1 {
		fds, _, err := wire.ListenFDs()
		fmt.Println(len(fds), err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sock, err := wire.DialNotify()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stores(ctx, sock))
	if err := wire.Notify.Send(sock, "READY=1"); err != nil {
		log.Fatal(err)
	}
	if err := wire.NotifyBarrier(ctx, sock); err != nil {
		log.Fatal(err)
	}
}

// listener makes a listener of a descriptor that ListenFDs has returned.
func listener(fd int, name string) (net.Listener, error) {
	f, err := scm.NewFile(fd, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileListener makes a duplicate
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return nil, fmt.Errorf("descriptor %s does not listen", name)
	}
	return net.FileListener(f)
}

func Example_listener() {
	manager, err := net.Listen("unix", "@")
	must(err)
	defer manager.Close()
	f, err := manager.(*net.UnixListener).File()
	must(err)
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd()))
	must(err)

	l, err := listener(fd, "web")
	must(err)
	defer l.Close()
	fmt.Println(l.Addr().String() == manager.Addr().String(), isOpen(fd))

	connected, partner := socketFile()
	defer partner.Close()
	fd, err = unix.Dup(int(connected.Fd()))
	must(errors.Join(err, connected.Close()))
	_, err = listener(fd, "connected")
	fmt.Println(err, isOpen(fd))
	// Output:
	// true false
	// descriptor connected does not listen false
}

// The test is the service manager. It sets LISTEN_PID to the PID of the process that it starts, which is a shell.
func TestListenPID(t *testing.T) {
	null := program.Must(os.Open(os.DevNull))
	defer func() { _ = null.Close() }()
	for script, want := range map[string]string{
		`"$0"; true`: "0 <nil>\n",
		`exec "$0"`:  "1 <nil>\n",
	} {
		command := program.Command()
		cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$ LISTEN_FDS=1; exec sh -c "$1" "$0"`, command.Path, script)
		cmd.Env, cmd.ExtraFiles = command.Env, []*os.File{null}
		if out, stderr, err := program.Start(t, cmd).Wait(); out != want || err != nil {
			t.Errorf("%s: printed %q and %q, and ended with %v; want %q", script, out, stderr, err, want)
		}
	}
}

// stores reports whether the manager stores descriptors. If it closes the write end of a pipe instead, the
// read end reports it.
func stores(ctx context.Context, manager wire.Socket) (bool, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }()
	err = wire.NotifyStoreFiles(manager, "probe", w)
	if err := errors.Join(err, w.Close()); err != nil {
		return false, err
	}
	if err := wire.NotifyBarrier(ctx, manager); err != nil {
		return false, err
	}
	ends := []unix.PollFd{{Fd: int32(r.Fd())}}
	_, err = unix.Poll(ends, 0)
	for err == unix.EINTR {
		_, err = unix.Poll(ends, 0)
	}
	if err != nil {
		return false, err
	}
	if ends[0].Revents&unix.POLLHUP != 0 {
		return false, nil
	}
	return true, wire.NotifyRemove(manager, "probe")
}

// serve is the part of a service manager that stores descriptors. It returns at STOPPING=1, with the messages that
// it has received and the number of descriptors in each.
func serve(conn *scm.Conn) (received []string, err error) {
	var kept []*os.File
	for {
		state, files, err := wire.RecvFiles(wire.Notify, conn)
		if err != nil || state == "STOPPING=1" {
			return received, err
		}
		received = append(received, fmt.Sprint(state, ": ", len(files)))
		switch state {
		case "FDSTORE=1\nFDNAME=probe":
			kept, files = append(kept, files...), nil
		case "FDSTOREREMOVE=1\nFDNAME=probe":
			kept, files = nil, kept
		}
		for _, f := range files {
			_ = f.Close()
		}
	}
}

// forward does what the proxies of container runtimes do. It reads without a control buffer, so the kernel closes the
// descriptors.
func forward(from, to *scm.Conn) error {
	p := make([]byte, 4096)
	for {
		n, err := from.Read(p)
		if err != nil {
			return err
		}
		if _, err := to.Write(p[:n]); err != nil {
			return err
		}
	}
}

func TestNotifyProxy(t *testing.T) {
	for _, c := range []struct {
		proxy bool
		want  []string
	}{
		{false, []string{"FDSTORE=1\nFDNAME=probe: 1", "BARRIER=1: 1", "FDSTOREREMOVE=1\nFDNAME=probe: 0"}},
		{true, []string{"FDSTORE=1\nFDNAME=probe: 0", "BARRIER=1: 0"}},
	} {
		t.Run(fmt.Sprint("proxy ", c.proxy), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			dir := fdtest.ShortDir(t)
			listen := func(name string) *scm.Conn {
				t.Helper()
				conn := program.Must(scm.ListenPacket(ctx, "unixgram", filepath.Join(dir, name)))
				t.Cleanup(func() { _ = conn.Close() })
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				return conn
			}
			manager, proxy := listen("manager"), listen("proxy")
			toManager := program.Must(scm.Dial(ctx, "unixgram", manager.LocalAddr().String()))
			defer func() { _ = toManager.Close() }()
			var received []string
			served, forwarded := make(chan error, 1), make(chan error, 1)
			go func() {
				var err error
				received, err = serve(manager)
				served <- err
			}()
			go func() { forwarded <- forward(proxy, toManager) }()

			t.Setenv("NOTIFY_SOCKET", manager.LocalAddr().String())
			if c.proxy {
				t.Setenv("NOTIFY_SOCKET", proxy.LocalAddr().String())
			}
			sock := program.Must(wire.DialNotify())
			defer sock.Close()
			if stored, err := stores(ctx, sock); err != nil || stored == c.proxy {
				t.Errorf("the manager stores descriptors: %v, %v; want %v", stored, err, !c.proxy)
			}

			_ = proxy.Close()
			if err := <-forwarded; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			if err := wire.Notify.Send(toManager, "STOPPING=1"); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil || !slices.Equal(received, c.want) {
				t.Errorf("the manager received %q, %v; want %q", received, err, c.want)
			}
		})
	}
}

// The real proxy of conmon. It takes a script for the container runtime.
func TestConmon(t *testing.T) {
	conmon, err := exec.LookPath("conmon")
	if err != nil {
		t.Skip(err)
	}
	dir, statuses := fdtest.ShortDir(t), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	manager := program.Must(scm.ListenPacket(context.Background(), "unixgram", path("manager")))
	defer func() { _ = manager.Close() }()
	_ = manager.SetDeadline(time.Now().Add(time.Minute))
	runtime := `#!/bin/sh
while [ $# -gt 0 ]; do
	[ "$1" != --pid-file ] || pid=$2
	shift
done
"$SERVICE" stores </dev/null &
printf %s $! >"$pid"
`
	fdtest.Must(t, os.WriteFile(path("runtime"), []byte(runtime), 0o700))
	if err := os.Mkdir(path("notify"), 0o700); err != nil { // for the socket of conmon
		t.Fatal(err)
	}
	command := program.Command()
	cmd := exec.Command(conmon, "--sync", "--cid", "container", "--cuuid", "container", "--runtime", path("runtime"),
		"--bundle", dir, "--full-attach", "--socket-dir-path", dir, "--container-pidfile", path("pid"),
		"--log-path", "k8s-file:"+path("log"), "--exit-dir", statuses, "--sdnotify-socket", path("manager"))
	cmd.Env = append(command.Env, "SERVICE="+command.Path, "NOTIFY_SOCKET="+path("notify/notify.sock"))
	if _, stderr, err := program.Start(t, cmd).Wait(); err != nil {
		t.Fatalf("conmon ended with %v: %s", err, stderr)
	}
	output := program.Must(os.ReadFile(path("log")))
	if !strings.HasSuffix(string(output), "false <nil>\n") {
		t.Errorf("the service printed %q", output)
	}
	state, files, err := wire.RecvFiles(wire.Notify, manager)
	if state != "READY=1" || len(files) > 0 || err != nil {
		t.Errorf("the manager received %q, %d descriptors, %v", state, len(files), err)
	}
}
