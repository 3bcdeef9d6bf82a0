//go:build linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/fusetest"
	"github.com/scm-rights/scm/internal/sys"
)

// A name is resolved only if no received socket has the same strings, and not longer than ctx allows.
func TestListenResolvesNamesWithItsContext(t *testing.T) {
	server := must(net.ListenPacket("udp", "127.0.0.1:0")) // of names, which never answers
	defer server.Close()
	type caller struct{}
	ctx, cancel := context.WithCancel(context.WithValue(patient(t), caller{}, true))
	var asked atomic.Int64
	var own atomic.Bool
	defer func(r *net.Resolver) { net.DefaultResolver = r }(net.DefaultResolver)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(dialing context.Context, _, _ string) (net.Conn, error) {
		asked.Add(1)
		if dialing.Value(caller{}) != nil { // once ctx is done, its values are gone
			own.Store(true)
		}
		cancel()
		return net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
	}}

	config := Config{Listen: func(context.Context, string, string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }}
	a := start(t, config, socketPath(t))
	web := listen(t, a, "web", "tcp", "host.test:80")
	other := listen(t, a, "other", "tcp", "other.test:80")
	ready(t, a)
	b := start(t, Config{}, a.path)
	for _, want := range []struct {
		name, address string
		l             net.Listener
	}{{"renamed", "other.test:80", other}, {"web", "host.test:80", web}} {
		if l := listen(t, b, want.name, "tcp", want.address); l.Addr().String() != want.l.Addr().String() {
			t.Errorf("%s listens at %v", want.name, l.Addr())
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("asked %d times for names that the predecessor has used", n)
	}

	_, err := b.Listen(ctx, "new", "tcp", "host.test:1")
	if !errors.Is(err, context.Canceled) || !own.Load() {
		t.Errorf("%v; asked %d times, with the context of Listen: %v", err, asked.Load(), own.Load())
	}
}

// Listen examines a directory whose file system does not respond. That delays no other method.
func TestListenOnAFileSystemThatDoesNotRespond(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	b := start(t, Config{}, a.path)
	server := fusetest.Mount(t, fusetest.Options{})
	server.Hush(fusetest.Getattr)
	done := inBackground(func() error {
		_, err := b.Listen(patient(t), "other", "unix", filepath.Join(filepath.Dir(server.File), "socket.web"))
		return err
	})
	<-server.Waiting
	failed := inBackground(func() error { b.Fail(errors.New("no memory")); return nil })
	fdtest.Eventually(t, "Fail returns", func() bool { return len(failed) == 1 })
	server.Release()
	if err := <-done; err == nil {
		t.Error("Listen succeeds")
	}
}

// While Listen opens a received socket, another call takes it, or the Process is closed. The predecessor needs the
// socket's file.
func TestListenLosesTheSocketToAnotherCall(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	web := listen(t, a, "web", "unix", a.path+".web").(*scm.Listener)
	noLeak(t)
	f := must(web.File())
	defer f.Close()
	address := []byte(a.path + ".web")
	in := &inherited{socket: socket{Name: "web", Network: "unix", Address: address, Created: true, FileID: sys.FileIDOf(os.Lstat(a.path + ".web"))}, file: f, passed: true}
	made, _, err := a.find([]*inherited{in}, socket{Name: "web", Network: "unix", Address: address}, netip.AddrPort{}, false)
	if made != nil || err != nil {
		t.Error(made, err)
	}
	if _, err := os.Lstat(a.path + ".web"); err != nil {
		t.Error(err)
	}
}

// If this process was meant to receive a socket, an error says why its address is in use.
func TestListenSaysWhyAReceivedSocketIsNotUsed(t *testing.T) {
	noLeak(t)
	var log logged
	pid := os.Getppid()
	t.Setenv("LISTEN_PID", fmt.Sprint(pid))
	t.Setenv("LISTEN_FDS", "1")
	p := start(t, Config{Logger: log.logger()}, socketPath(t))
	manager := must(net.Listen("tcp", "127.0.0.1:0"))
	defer manager.Close()
	reason := fmt.Sprintf("LISTEN_PID is %d, but this process is %d", pid, os.Getpid())
	_, err := p.Listen(patient(t), "web", "tcp", manager.Addr().String())
	wantError(t, err, reason+": listen tcp "+manager.Addr().String()+": bind: address already in use")
	if !log.has("DEBUG handover: took no sockets from the service manager err=" + reason)() {
		t.Errorf("%q", log.lines)
	}

	fd := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	f := os.NewFile(uintptr(fd), "web")
	fdtest.Must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	address := fmt.Sprint("127.0.0.1:", must(unix.Getsockname(fd)).(*unix.SockaddrInet4).Port)
	passes(p, "web", f)
	_, err = p.Listen(patient(t), "web", "tcp", address)
	wantError(t, err, `the received socket "web", `+address+", is not listening")
}

// A received Unix socket of another type has the path, and the error names it.
func TestListenSaysThatAReceivedSocketHasAnotherType(t *testing.T) {
	noLeak(t)
	for _, c := range []struct{ received, wanted string }{
		{"unixpacket", "unix"}, {"unix", "unixpacket"}, {"unixgram", "unix"}, {"unix", "unixgram"},
	} {
		a := start(t, Config{}, socketPath(t))
		path := a.path + ".web"
		made, _, _ := bind(t, a, "web", c.received, path)
		unit := start(t, Config{}, socketPath(t))
		passes(unit, "unit", must(made.(interface{ File() (*os.File, error) }).File()))
		ready(t, a)
		for name, p := range map[string]*Process{"unit": unit, "web": start(t, Config{}, a.path)} {
			var err error
			if c.wanted == "unixgram" {
				_, err = p.ListenPacket(patient(t), "web", c.wanted, path)
			} else {
				_, err = p.Listen(patient(t), "web", c.wanted, path)
			}
			wantError(t, err, fmt.Sprintf("the received socket %q, %s, is a %s socket, not %s: ", name, path, c.received, c.wanted))
		}
	}
}

// The program decides whether a socket's file stays, in each process. It cannot remove what another process needs.
func TestSetUnlinkOnClose(t *testing.T) {
	type owner interface {
		io.Closer
		SetUnlinkOnClose(bool)
	}
	open := func(p *Process, network string) owner {
		l, _, _ := bind(t, p, "web", network, p.path+".web")
		return l.(owner)
	}
	stays := func(what any, p *Process, l owner) {
		t.Helper()
		_ = l.Close()
		if _, err := os.Lstat(p.path + ".web"); err != nil {
			t.Errorf("%v: %v", what, err)
		}
	}
	for _, c := range []struct {
		what, network string
		listen        func(context.Context, string, string) (net.Listener, error)
	}{
		{"Listen", "unix", nil}, {"ListenPacket", "unixgram", nil}, {"Config.Listen", "unix", new(net.ListenConfig).Listen},
	} {
		for n := range 2 {
			path := socketPath(t)
			var p *Process
			var l owner
			for range n + 1 {
				p = start(t, Config{Listen: c.listen}, path)
				l = open(p, c.network)
				l.SetUnlinkOnClose(false)
				ready(t, p)
			}
			fails(t, p)
			stays(fmt.Sprint(c.what, ", generation ", n+1), p, l)
		}
	}

	a := start(t, Config{}, socketPath(t))
	l := open(a, "unix")
	ready(t, a)
	b := start(t, Config{}, a.path)
	early := open(b, "unix")
	early.SetUnlinkOnClose(true)
	stays("before Ready", b, early)
	l.SetUnlinkOnClose(true)
	stays("while a successor has it", a, l)

	path := socketPath(t)
	for n := range 3 { // the last process removes the file, even if Config.Listen created it
		p := start(t, Config{Listen: new(net.ListenConfig).Listen}, path)
		l := open(p, "unix")
		ready(t, p)
		if n < 2 {
			continue
		}
		_ = l.Close()
		if _, err := os.Lstat(path + ".web"); err == nil {
			t.Error("Config.Listen: the file stays")
		}
	}
	elsewhere := start(t, Config{Listen: func(ctx context.Context, network, address string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, network, address+".elsewhere")
	}}, socketPath(t))
	other := must(net.Listen("unix", elsewhere.path+".web"))
	defer other.Close()
	_ = open(elsewhere, "unix").Close()
	if _, err := os.Lstat(elsewhere.path + ".web"); err != nil {
		t.Error("Config.Listen chose another path, and Close has removed the file of another server: ", err)
	}
}
