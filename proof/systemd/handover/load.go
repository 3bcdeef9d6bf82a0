//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/scm-rights/scm/internal/webtest"
	"github.com/scm-rights/scm/proof/must"
	"github.com/scm-rights/scm/proof/systemd/driver"
)

// A site is where a server listens.
type site struct{ network, address string }

// transport returns a new transport for connections to the site.
func (s site) transport() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, s.network, s.address)
	}}
}

// client returns a client of the site.
func (s site) client(kind string, transport *http.Transport, pause time.Duration) *webtest.Client {
	return &webtest.Client{
		Kind: kind, URL: url, HTTP: http.Client{Transport: transport, Timeout: driver.Timeout}, Pause: pause, Rest: webtest.Done}
}

// url is the URL of every site, because the transports know the address.
const url = "http://server/"

// ask returns the process that answers on a new connection.
func (s site) ask() (pid int) {
	c := s.client("", s.transport(), 0)
	defer c.HTTP.CloseIdleConnections()
	return must.Get(c.Ask())
}

// A held request has been accepted by a server, which waits for the end of the body.
type held struct {
	pid    int
	client *http.Client
	body   *io.PipeWriter
	answer *http.Response
	rest   *bufio.Reader
}

// hold sends a request that is held.
func (s site) hold() *held {
	r, w := io.Pipe()
	client := &http.Client{Transport: s.transport()}
	answer := must.Get(webtest.Post(client, url, r, true))
	rest := bufio.NewReader(answer.Body)
	line := must.Get(rest.ReadString('\n'))
	pid := must.Get(strconv.Atoi(strings.TrimSpace(line)))
	return &held{pid, client, w, answer, rest}
}

// release lets the server end its answer, and returns an error unless it does.
func (h *held) release() error {
	_ = h.body.Close()
	text, err := io.ReadAll(h.rest)
	_ = h.answer.Body.Close()
	// the server has not asked for it, because it drains only since the answer has begun
	h.client.CloseIdleConnections()
	if err != nil {
		return err
	}
	return must.Try(func() { driver.Want(string(text), webtest.Done) })
}

// streams requests an event stream with HTTP/1 and one with HTTP/2.
func (s site) streams() (list []*http.Response) {
	for _, second := range []bool{false, true} {
		transport := s.transport()
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(!second)
		transport.Protocols.SetUnencryptedHTTP2(second)
		client := http.Client{Transport: transport, Timeout: 3 * driver.Timeout}
		list = append(list, must.Get(client.Get(url+"events")))
	}
	return list
}

// start puts the site under the load of clients that use connections in different ways.
func (s site) start() *webtest.Load {
	fresh, second := s.transport(), s.transport()
	fresh.DisableKeepAlives = true
	second.Protocols = new(http.Protocols)
	second.Protocols.SetUnencryptedHTTP2(true)
	return must.Get(webtest.Start(
		s.client("keep-alive", s.transport(), 0),
		s.client("keep-alive with pauses", s.transport(), 40*time.Millisecond),
		s.client("one request a connection", fresh, 7*time.Millisecond),
		s.client("HTTP/2", second, 5*time.Millisecond),
	))
}

// end ends a load, and notes the totals under the title.
func end(load *webtest.Load, title string, lose int) error {
	totals, err := load.End(lose)
	driver.Note("%s: %s", title, totals)
	return err
}
