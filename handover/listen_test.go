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

	"github.com/scm-rights/scm"
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
	eventually(t, "Fail returns", func() bool { return len(failed) == 1 })
	server.Release()
	if err := <-done; err == nil {
		t.Error("Listen succeeds")
	}
}

// While Listen makes a listener of a received socket, the Process is closed. The predecessor needs the socket's file.
func TestCloseDuringListen(t *testing.T) {
	a := start(t, Config{}, socketPath(t))
	listen(t, a, "web", "unix", a.path+".web")
	ready(t, a)
	b := start(t, Config{}, a.path)
	want := socket{Name: "web", Network: "unix", Address: []byte(a.path + ".web"), Created: true}
	var l *scm.Listener
	_, found := claim(b, b.succession.inherited, &want, netip.AddrPort{}, func(f *os.File, have socket) (net.Listener, error) {
		l = must(scm.NewListener(sys.OwnedListener{UnixListener: must(net.FileListener(f)).(*net.UnixListener), Path: have.path(), FileID: have.FileID}))
		return l, b.Close()
	})
	if _, err := l.Accept(); found || !errors.Is(err, net.ErrClosed) {
		t.Error("the listener is open: ", found, err)
	}
	if _, err := os.Lstat(a.path + ".web"); err != nil {
		t.Error(err)
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

	p := start(t, Config{Listen: new(net.ListenConfig).Listen}, socketPath(t))
	l = open(p, "unix")
	ready(t, p)
	_ = l.Close()
	if _, err := os.Lstat(p.path + ".web"); err == nil {
		t.Error("Config.Listen: the file stays, although no successor has received the socket")
	}
}
