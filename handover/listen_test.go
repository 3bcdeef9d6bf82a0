//go:build linux

package handover

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
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
		if asked.Add(1) == 1 { // later, ctx is done, and its values are gone
			own.Store(dialing.Value(caller{}) != nil)
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

	c := start(t, config, socketPath(t))
	l := listen(t, c, "web", "tcp", "host.test:80")
	ready(t, c)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := start(t, Config{}, c.path)
	_, err := d.Listen(ctx, "web", "tcp", "host.test:"+port)
	if !errors.Is(err, context.Canceled) || !own.Load() {
		t.Errorf("%v; asked %d times, with the context of Listen: %v", err, asked.Load(), own.Load())
	}
}
