//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

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

// post sends a request that net/http does not send again, because it cannot read the body again. If hold is set, the server
// sends the first line of its answer before it has read the body.
func post(client *http.Client, body io.Reader, hold string) (*http.Response, error) {
	request, err := http.NewRequest("POST", "http://server/", io.NopCloser(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Hold", hold)
	return client.Do(request)
}

// read returns the process that sent the answer, which must be complete.
func read(answer *http.Response) (pid int, err error) {
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if pid, err = strconv.Atoi(first); err != nil {
		return 0, err
	}
	return pid, driver.Want(rest, "done\n")
}

// ask returns the process that answers on a new connection.
func (s site) ask() (pid int, err error) {
	client := &http.Client{Transport: s.transport(), Timeout: driver.Patience}
	defer client.CloseIdleConnections()
	answer, err := post(client, strings.NewReader("x"), "")
	if err != nil {
		return 0, err
	}
	return read(answer)
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
func (s site) hold() (*held, error) {
	r, w := io.Pipe()
	client := &http.Client{Transport: s.transport()}
	answer, err := post(client, r, "yes")
	if err != nil {
		return nil, err
	}
	rest := bufio.NewReader(answer.Body)
	line, err := rest.ReadString('\n')
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	return &held{pid, client, w, answer, rest}, err
}

// release lets the server end its answer, and returns an error unless it does.
func (h *held) release() error {
	_ = h.body.Close()
	text, err := io.ReadAll(h.rest)
	_ = h.answer.Body.Close()
	h.client.CloseIdleConnections() // the server has not asked for it, because it drains only since the answer has begun
	if err != nil {
		return err
	}
	return driver.Want(string(text), "done\n")
}

// A load is clients that send requests until it is stopped.
type load struct {
	stop    context.CancelFunc
	done    sync.WaitGroup
	clients []*client
}

// A client sends one request after the other.
type client struct {
	kind    string
	http    http.Client
	pause   time.Duration
	asked   int
	refused int // requests for which there was no connection
	lost    int // requests that were not answered on a connection
	errors  map[string]int
	pids    map[int]bool // the processes that answered
}

// newClients returns clients that use connections in different ways.
func newClients(s site) []*client {
	fresh, second := s.transport(), s.transport()
	fresh.DisableKeepAlives = true
	second.Protocols = new(http.Protocols)
	second.Protocols.SetUnencryptedHTTP2(true)
	list := []*client{
		{kind: "keep-alive", http: http.Client{Transport: s.transport()}, pause: 3 * time.Millisecond},
		{kind: "keep-alive with pauses", http: http.Client{Transport: s.transport()}, pause: 40 * time.Millisecond},
		{kind: "one request a connection", http: http.Client{Transport: fresh}, pause: 7 * time.Millisecond},
		{kind: "HTTP/2", http: http.Client{Transport: second}, pause: 5 * time.Millisecond},
	}
	for _, c := range list {
		c.http.Timeout = driver.Patience
		c.errors, c.pids = map[string]int{}, map[int]bool{}
	}
	return list
}

// start puts the site under load, and returns when each client has had an answer.
func (s site) start() (*load, error) {
	l := &load{clients: newClients(s)}
	for _, c := range l.clients {
		c.send()
		if len(c.pids) == 0 {
			return nil, fmt.Errorf("%s: %v", c.kind, c.errors)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	for _, c := range l.clients {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			for ctx.Err() == nil {
				c.send()
				time.Sleep(c.pause)
			}
		}()
	}
	return l, nil
}

// send sends a request.
func (c *client) send() {
	c.asked++
	answer, err := post(&c.http, strings.NewReader("x"), "")
	var pid int
	if err == nil {
		pid, err = read(answer)
	}
	c.record(pid, err)
}

// record counts the result of a request.
func (c *client) record(pid int, err error) {
	switch {
	case err == nil:
		c.pids[pid] = true
		return
	// A Unix socket without a file, or with a full queue, refuses a connection too.
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EAGAIN):
		c.refused++
	default:
		c.lost++
	}
	c.errors[err.Error()]++
}

// end stops the load, and returns an error if a connection was refused, or if a client lost more than the given number of
// requests. It notes the totals under the title.
func (l *load) end(title string, lose int) error {
	l.stop()
	l.done.Wait()
	asked, refused, lost, pids := 0, 0, 0, map[int]bool{}
	var errs []error
	for _, c := range l.clients {
		c.http.CloseIdleConnections()
		asked, refused, lost = asked+c.asked, refused+c.refused, lost+c.lost
		maps.Copy(pids, c.pids)
		if c.refused > 0 || c.lost > lose {
			errs = append(errs, fmt.Errorf("%s: %d of %d requests lost, %d refused: %v",
				c.kind, c.lost, c.asked, c.refused, slices.Sorted(maps.Keys(c.errors))))
		}
	}
	driver.Note("%s: %d requests answered by %d processes, %d lost, %d refused", title, asked-lost-refused, len(pids), lost, refused)
	return errors.Join(errs...)
}
