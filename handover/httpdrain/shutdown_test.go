//go:build unix

package httpdrain_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/fdtest"
)

// When a drain or a shutdown begins.
const (
	beforeHandler = "before the handler"
	beforeWrite   = "before the first byte"
	written       = "after Write"
	sent          = "after Write of more than the buffer"
	copied        = "after ReadFrom of 512 bytes or more"
	flushed       = "after Flush"
)

// A behaviour is a handler. It calls at when it has reached the point that the argument names.
type behaviour struct {
	name   string
	points []string
	handle func(w http.ResponseWriter, r *http.Request, at func(string))
	body   string      // of the request
	header http.Header // of the request
	http1  bool        // HTTP/2 has nothing like it
	status int         // 0: the handler panics
}

const long = 10_000

var behaviours = []behaviour{
	{name: "writes nothing", points: []string{beforeWrite}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) { at(beforeWrite) }},
	{name: "WriteHeader", points: []string{beforeWrite, written}, status: 204,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			w.WriteHeader(204)
			at(written)
		}},
	{name: "Write", points: []string{beforeWrite, written}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = w.Write([]byte("x"))
			at(written)
		}},
	{name: "WriteString of more than the buffer", points: []string{beforeWrite, sent}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.WriteString(w, strings.Repeat("x", long))
			at(sent)
		}},
	{name: "io.Copy", points: []string{beforeWrite, written}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			_, _ = io.Copy(w, io.MultiReader(waits(at), strings.NewReader("x")))
			at(written)
		}},
	{name: "io.Copy of more than the buffer", points: []string{beforeWrite, sent}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			_, _ = io.Copy(w, io.MultiReader(waits(at), strings.NewReader(strings.Repeat("x", long))))
			at(sent)
		}},
	{name: "ReadFrom of 512 bytes", points: []string{beforeWrite, copied}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			_, _ = io.Copy(w, struct{ io.Reader }{io.MultiReader(waits(at), strings.NewReader(strings.Repeat("x", 512)))})
			at(copied)
		}},
	{name: "Write and ReadFrom of 1000 bytes", points: []string{beforeWrite, copied}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.WriteString(w, "x")
			_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 1000))})
			at(copied)
		}},
	{name: "103", points: []string{beforeWrite, written}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "x")
			at(written)
		}},
	{name: "Flush", points: []string{beforeWrite, flushed}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			for range 3 {
				w.(http.Flusher).Flush()
				at(flushed)
				_, _ = io.WriteString(w, "x")
			}
		}},
	{name: "Write and Flush", points: []string{beforeWrite, flushed}, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			at(flushed)
		}},
	{name: "100-continue", points: []string{beforeWrite, written}, status: 200, body: "x", header: http.Header{"Expect": {"100-continue"}},
		handle: func(w http.ResponseWriter, r *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.Copy(w, r.Body)
			at(written)
		}},
	{name: "unread body", points: []string{beforeWrite, written}, status: 200, body: strings.Repeat("x", long),
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.WriteString(w, "x")
			at(written)
		}},
	{name: "MaxBytesReader", points: []string{beforeWrite, written}, status: 413, body: strings.Repeat("x", long),
		handle: func(w http.ResponseWriter, r *http.Request, at func(string)) {
			at(beforeWrite)
			if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10)); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			}
			at(written)
		}},
	{name: "Hijack", points: []string{beforeWrite}, http1: true, status: 200,
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
				_ = conn.Close()
			}
		}},
	{name: "426", points: []string{beforeWrite, written}, http1: true, status: 426,
		header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"example"}},
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			http.Error(w, "no", http.StatusUpgradeRequired)
			at(written)
		}},
	{name: "panic", points: []string{beforeWrite},
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			panic(http.ErrAbortHandler)
		}},
	{name: "Write and panic", points: []string{beforeWrite, written},
		handle: func(w http.ResponseWriter, _ *http.Request, at func(string)) {
			at(beforeWrite)
			_, _ = io.WriteString(w, "x")
			at(written)
			panic(http.ErrAbortHandler)
		}},
}

// waits returns an empty Reader, which calls at when it is read.
func waits(at func(string)) io.Reader {
	return iotest.OneByteReader(readerFunc(func([]byte) (int, error) { at(beforeWrite); return 0, io.EOF }))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A drainCase is a request that is being handled when a drain or a shutdown begins.
type drainCase struct {
	behaviour
	point    string
	protocol string
	tls      bool
	network  string
}

// isNamed reports whether docs/handover.md names the case as one in which the client cannot be asked.
func (c drainCase) isNamed() bool {
	switch c.point {
	case written:
		return c.protocol == "HTTP/2"
	case copied:
		return c.protocol == "HTTP/2" || c.network == "tcp" && !c.tls // a connection of a Unix socket is no io.ReaderFrom
	case sent, flushed:
		return true
	}
	return false
}

// A result is what the client noticed.
type result struct {
	status   int
	told     bool // to close its connection
	answered bool // its next request, which takes longer than the rest of the drain
	cut      bool // that request, when the drain ended
}

// closeNotes is a listener that closes the channel in Close.
type closeNotes struct {
	net.Listener
	closed func()
}

func (l closeNotes) Close() error { defer l.closed(); return l.Listener.Close() }

// run runs a case. begin drains or shuts down the server until ctx is done.
func (c drainCase) run(t *testing.T, certificate *tls.Config, drain bool) (got result) {
	address := "127.0.0.1:0"
	if c.network == "unix" {
		address = filepath.Join(fdtest.ShortDir(t), "s")
	}
	l, err := net.Listen(c.network, address)
	fdtest.Must(t, err)
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the successor inherits the socket
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	fdtest.Must(t, err)
	defer func() { _ = f.Close() }()
	inherited, err := net.FileListener(f)
	fdtest.Must(t, err)

	entered, leave, reached := make(chan bool), make(chan bool), make(chan bool, 1)
	var once sync.Once
	at := func(point string) {
		if point == c.point {
			once.Do(func() { entered <- true; <-leave })
		}
	}
	newServer := func(h http.HandlerFunc) *http.Server {
		server := &http.Server{Handler: h, Protocols: protocols(c.protocol), ErrorLog: discard}
		if c.tls {
			server.TLSConfig = certificate.Clone()
		}
		return server
	}
	server := newServer(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/case":
			c.handle(w, r, at)
		case "/next":
			reached <- true
			<-r.Context().Done()
		}
	})
	successor := newServer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("By", "successor") })
	var serving sync.WaitGroup
	serve := func(plain, encrypted func() error) {
		serving.Add(1)
		go func() {
			defer serving.Done()
			if c.tls {
				_ = encrypted()
			} else {
				_ = plain()
			}
		}()
	}
	ctx, end := context.WithCancel(context.Background())
	defer serving.Wait()
	defer func() { _ = successor.Close() }()
	defer end()

	began := make(chan bool)
	noting := closeNotes{l, sync.OnceFunc(func() { close(began) })}
	stop := func() { // the server
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close()
		}
	}
	if drain {
		s := httpdrain.New(server)
		serve(func() error { return s.Serve(noting) }, func() error { return s.ServeTLS(noting, "", "") })
		stop = func() { _ = s.Drain(ctx) }
	} else {
		serve(func() error { return server.Serve(noting) }, func() error { return server.ServeTLS(noting, "", "") })
	}

	transport := &http.Transport{
		Protocols: protocols(c.protocol), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ExpectContinueTimeout: timeLimit,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, c.network, l.Addr().String())
		},
	}
	defer transport.CloseIdleConnections()
	reused := false
	ask := func(path, body string, header http.Header) (*http.Response, error) {
		scheme := "http://"
		if c.tls {
			scheme = "https://"
		}
		trace := &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if header.Get("Connection") != "" { // RFC 9113, 8.2.2
					t.Errorf("the response %d has the header Connection", code)
				}
				return nil
			},
		}
		// net/http sends it again only if the server says that it has not processed it.
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(patient(t), trace), http.MethodPost, scheme+"server"+path, strings.NewReader(body))
		fdtest.Must(t, err)
		for key := range header {
			request.Header.Set(key, header.Get(key))
		}
		response, err := transport.RoundTrip(request)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		return response, err
	}
	if _, err := ask("/first", "", nil); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan bool)
	begin := func() {
		go func() { stop(); close(stopped) }()
		<-began
		serve(func() error { return successor.Serve(inherited) }, func() error { return successor.ServeTLS(inherited, "", "") })
	}
	if c.point == beforeHandler {
		begin()
	} else {
		go func() { <-entered; begin(); leave <- true }()
	}
	response, err := ask("/case", c.body, c.header)
	if err == nil {
		got.status, got.told = response.StatusCode, response.Close
	}
	next := make(chan bool, 1)
	go func() {
		response, err := ask("/next", "x", nil)
		got.told = got.told || !reused
		next <- err == nil && response.Header.Get("By") != ""
	}()
	select {
	case <-reached:
		got.cut = true
		end()
		got.answered = <-next
	case got.answered = <-next:
	}
	end()
	<-stopped
	return got
}

// Drain must not lose a request that Shutdown does not lose, except in the cases that docs/handover.md names.
func TestDrainAgainstShutdown(t *testing.T) {
	certificate := borrow().TLS
	var lost [2]atomic.Int64
	t.Cleanup(func() {
		t.Logf("next requests that were not answered: %d after Drain, %d after Shutdown", lost[0].Load(), lost[1].Load())
	})
	protocols := []struct {
		name    string
		tls     bool
		network string
	}{{"HTTP/1.1", false, "tcp"}, {"HTTP/1.1", true, "tcp"}, {"HTTP/2", false, "tcp"}, {"HTTP/2", true, "tcp"}, {"HTTP/1.1", false, "unix"}}
	for i, b := range behaviours {
		for j, p := range protocols {
			if b.http1 && p.name == "HTTP/2" || p.network == "unix" && !slices.Contains(b.points, copied) {
				continue
			}
			if testing.Short() && p.network == "tcp" && j != i%2 && j != 2+(i+1)%2 {
				continue
			}
			for _, point := range append([]string{beforeHandler}, b.points...) {
				c := drainCase{behaviour: b, point: point, protocol: p.name, tls: p.tls, network: p.network}
				t.Run(fmt.Sprintf("%s, %s, %s, TLS %v, %s", b.name, p.name, p.network, p.tls, point), func(t *testing.T) {
					t.Parallel()
					drained, shutDown := c.run(t, certificate, true), c.run(t, certificate, false)
					t.Logf("Drain: %+v; Shutdown: %+v", drained, shutDown)
					for i, r := range []result{drained, shutDown} {
						if !r.answered {
							lost[i].Add(1)
						}
					}
					if drained.answered == c.isNamed() || drained.told == c.isNamed() {
						t.Errorf("Drain: %+v, want told and answered: %v", drained, !c.isNamed())
					}
					if !drained.answered && !drained.cut {
						t.Error("the next request has reached no server")
					}
					if drained.status != c.status && c.status != 0 {
						t.Errorf("got status %d, want %d", drained.status, c.status)
					}
				})
			}
		}
	}
}

var discard = log.New(io.Discard, "", 0)
