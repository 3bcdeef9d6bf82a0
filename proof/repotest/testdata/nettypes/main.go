// Command nettypes uses package scm with what package net returns, without a type assertion.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/scm-rights/scm"
)

func main() {
	dir := must(os.MkdirTemp("", "scm"))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	conn, partner, err := scm.Pair("unix")
	check(err)

	listeners(conn, partner)
	handover(conn, partner, path)
	reader(conn, partner)
	wrappers(conn)
	fmt.Println("ok")
}

// listeners passes a TCP listener on, and a connection that it accepted.
func listeners(conn, partner *scm.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(conn.SendListener(l))
	received := must(partner.RecvListener())

	client := must(net.Dial("tcp", l.Addr().String()))
	c, err := received.Accept()
	check(err)
	check(conn.SendConn(c))
	accepted := must(partner.RecvConn())
	if accepted.RemoteAddr().String() != client.LocalAddr().String() {
		panic("another connection was received")
	}
}

// handover passes a Unix listener on, whose new process serves with a Config.
func handover(conn, partner *scm.Conn, path string) {
	l := must(net.Listen("unix", path))
	check(conn.SendListener(l))
	received := must(partner.RecvListener())
	checked := 0
	config := scm.Config{
		Expect: &scm.Expect{Min: 1, Max: 1, Kind: scm.KindPipe},
		Check:  func(*scm.Conn) error { checked++; return nil },
	}
	server := must(config.NewListener(received))

	c, err := net.Dial("unix", path)
	check(err)
	client := must(scm.NewConn(c))
	null := must(os.Open(os.DevNull))
	must(client.WriteFiles([]byte("x"), null))
	peer := must(server.AcceptConn())
	_, _, err = peer.ReadFiles(make([]byte, 1), 1)
	var unexpected *scm.ExpectError
	if checked != 1 || !errors.As(err, &unexpected) {
		panic(fmt.Sprintf("the Config was lost: %d calls of Check, %v", checked, err))
	}
}

// A receiver is a net.Conn that collects the descriptors that it receives.
type receiver struct {
	*scm.Conn
	fds []int
}

func (r *receiver) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var fds [4]int
	n, nfd, err := r.ReadFDs(p, fds[:])
	r.fds = append(r.fds, fds[:nfd]...)
	return n, err
}

// reader receives descriptors in a Read method, until the end.
func reader(conn, partner *scm.Conn) {
	must(conn.WriteFDs([]byte("two descriptors"), 1, 2))
	check(conn.CloseWrite())
	r := &receiver{Conn: partner}
	defer func() { scm.CloseFDs(r.fds...) }()
	var c net.Conn = r
	text := must(io.ReadAll(c))
	if string(text) != "two descriptors" || len(r.fds) != 2 {
		panic(fmt.Sprintf("received %q with %d descriptors", text, len(r.fds)))
	}
}

// A session is a connection of a program's own type.
type session struct {
	*scm.Conn
	id int
}

// A secured is a session over TLS.
type secured struct{ *tls.Conn }

// A compressed is a connection of a program's own type that wraps another one.
type compressed struct{ net.Conn }

func (c compressed) NetConn() net.Conn { return c.Conn }

func wrappers(conn *scm.Conn) {
	c := must(scm.NewConn(session{conn, 1}))
	if c.UnixConn != conn.UnixConn {
		panic("another connection was returned")
	}
	encrypted := tls.Client(conn, &tls.Config{})
	for _, c := range []net.Conn{encrypted, secured{encrypted}, compressed{encrypted}} {
		if _, err := scm.NewConn(c); !errors.Is(err, scm.ErrNotUnix) {
			panic(fmt.Sprintf("NewConn unwrapped a %T: %v", c, err))
		}
		if err := conn.SendConn(c); !errors.Is(err, os.ErrInvalid) {
			panic(fmt.Sprintf("SendConn sent a %T: %v", c, err))
		}
	}
	handshake := func(c interface{ HandshakeContext(context.Context) error }) { _ = c }
	handshake(encrypted) // the method that NewConn looks for
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}
