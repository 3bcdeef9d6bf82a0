//go:build unix

package httpdrain_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scm-rights/scm/handover/httpdrain"
	"github.com/scm-rights/scm/internal/fdtest"
)

// methods returns the names of the methods of w, except Unwrap.
func methods(w http.ResponseWriter) (names []string) {
	all := reflect.TypeOf(w)
	for i := range all.NumMethod() {
		if name := all.Method(i).Name; name != "Unwrap" {
			names = append(names, name)
		}
	}
	return names
}

// both calls try with an http.Server, and with one that New has changed, and returns what it returned.
func both(t *testing.T, newServer func() *http.Server, try func(address string) string) (theirs, ours string) {
	t.Helper()
	server := newServer()
	l, address := listen(t)
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	theirs = try(address)
	fdtest.Must(t, server.Close())
	<-served
	server = newServer()
	s := httpdrain.New(server)
	l, address = listen(t)
	ends(t, func() error { return s.Serve(l) })
	ours = try(address)
	_ = server.Close() // clients that keep their connections
	fdtest.Must(t, s.Drain(patient(t)))
	return theirs, ours
}

func TestHandlersGetAWriterWithTheMethodsOfTheOriginal(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		theirs, ours := both(t, func() *http.Server {
			return &http.Server{Protocols: protocols(protocol), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprint(w, methods(w))
			})}
		}, func(address string) string {
			transport := &http.Transport{Protocols: protocols(protocol)}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get("http://" + address)
			if err != nil {
				return err.Error()
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			return fmt.Sprint(string(text), err)
		})
		if theirs != ours {
			t.Errorf("%s: the methods are %s; net/http has %s", protocol, ours, theirs)
		}
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(*httptest.ResponseRecorder); !ok {
			t.Errorf("got a %T instead of a ResponseRecorder", w)
		}
	})}
	httpdrain.New(server)
	server.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

// The wrapped ResponseWriter hides from http.MaxBytesReader how net/http closes the connection. With status 413, the
// connection is closed nevertheless. With another one, the body is like one that the handler has not read to its end.
func TestMaxBytesReader(t *testing.T) {
	limited := func(limit int64, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit)); err != nil {
				http.Error(w, "too long", status)
			}
		}
	}
	unlimited := func(n, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, n))
			http.Error(w, "too long", status)
		}
	}
	fullDuplex := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			next(w, r)
		}
	}
	lines := fullDuplex(func(w http.ResponseWriter, r *http.Request) {
		in := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, 5000), 100)
		for err := error(nil); err == nil; _, err = in.ReadSlice('x') {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
	})
	for _, c := range []struct {
		name         string
		body         int
		sent         int  // of the body, if less
		expects      bool // 100-continue
		handler      http.HandlerFunc
		like         http.HandlerFunc // what net/http does with this one, or nil for handler
		closed, last bool             // net/http may close the connection unasked
	}{
		{name: "all is read", body: 1000, handler: limited(1000, 413)},
		{name: "part of it is read", body: 1000, handler: http.MaxBytesHandler(unlimited(600, 400), 5000).ServeHTTP},
		{name: "full duplex, all is read", body: 1000, handler: lines},
		{name: "too long", body: 1000, handler: limited(10, 413), closed: true},
		{name: "much too long", body: 1 << 20, handler: limited(10, 413), closed: true},
		{name: "too long, the client waits", body: 1000, sent: 100, handler: limited(10, 413), closed: true},
		{name: "much too long, 100-continue", body: 8 << 20, sent: 1 << 16, expects: true,
			handler: limited(10, 413), closed: true},
		{name: "full duplex, too long", body: 1000, handler: fullDuplex(limited(10, 413)), closed: true},
		{name: "too long, 400", body: 1000, handler: limited(10, 400), like: unlimited(11, 400)},
		{name: "much too long, 400", body: 1 << 20, handler: limited(10, 400), like: unlimited(11, 400), closed: true},
		{name: "much too long, 100-continue, 400", body: 8 << 20, sent: 1 << 16, expects: true,
			handler: limited(10, 400), like: unlimited(11, 400), closed: true},
		{name: "full duplex, too long, 400", body: 1000,
			handler: fullDuplex(limited(10, 400)), like: fullDuplex(unlimited(11, 400)), last: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handlers := []http.HandlerFunc{c.handler, c.handler}
			if c.like != nil {
				handlers[0] = c.like
			}
			theirs, ours := both(t, func() *http.Server {
				handler := handlers[0]
				handlers = handlers[1:]
				return &http.Server{Handler: handler, ErrorLog: discard}
			}, func(address string) (answers string) {
				header := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", c.body)
				if c.expects {
					header += "Expect: 100-continue\r\n"
				}
				request := header + "\r\n" + strings.Repeat("x", cmp.Or(c.sent, c.body))
				conn := dial(t, address, "")
				if err := conn.SetReadDeadline(time.Now().Add(timeLimit)); err != nil {
					return err.Error()
				}
				in := bufio.NewReader(conn)
				for range 2 {
					go func() { _, _ = io.WriteString(conn, request) }() // the server may not read all of it
					response, err := http.ReadResponse(in, nil)
					if err == nil && response.StatusCode == http.StatusContinue {
						response, err = http.ReadResponse(in, nil)
					}
					if err != nil {
						return answers + err.Error()
					}
					text, err := io.ReadAll(response.Body)
					answers += fmt.Sprintln(response.StatusCode, response.Close, len(text), err)
					if c.expects {
						_, err = io.Copy(io.Discard, in)
						answers += fmt.Sprintln("reset:", errors.Is(err, syscall.ECONNRESET))
					}
					if response.Close || c.last {
						break
					}
				}
				return answers
			})
			if theirs != ours || strings.Contains(ours, " true ") != c.closed {
				t.Errorf("got %q, net/http answers %q, want Connection: close %v", ours, theirs, c.closed)
			}
		})
	}
}

func TestNoOtherStatusClosesTheConnection(t *testing.T) {
	s, address, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.Header.Get("Status"))
		w.WriteHeader(status)
	})})
	conn := dial(t, address, "")
	in := bufio.NewReader(conn)
	for status := 200; status < 600; status++ {
		if http.StatusText(status) == "" || status == http.StatusRequestEntityTooLarge {
			continue
		}
		send(t, conn, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nStatus: %d\r\nContent-Length: 1\r\n\r\nx", status))
		response, err := http.ReadResponse(in, nil)
		if err != nil || response.StatusCode != status || response.Close {
			t.Errorf("status %d: %+v, %v", status, response, err)
			break
		}
	}
	_ = conn.Close()
	fdtest.Must(t, s.Drain(patient(t)))
}

// What an HTTP/2 client sends first. Its SETTINGS follow the preface.
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	headers = "\x00\x00\x06\x01\x05\x00\x00\x00\x01" + "\x82\x84\x86\x41\x01x" // GET http://x/
)

// docs/handover.md names clients that lose a response if GOAWAY precedes it. If the order changes, try them again.
func TestGOAWAYPrecedesTheResponse(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	s, address, _ := serve(t, &http.Server{
		Protocols: protocols("HTTP/2"),
		Handler:   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- true; <-leave }),
	})
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	const ping = "\x00\x00\x08\x06\x00\x00\x00\x00\x00" + "12345678"
	conn := dial(t, address, preface+settings+headers)
	fdtest.Must(t, conn.SetReadDeadline(time.Now().Add(timeLimit)))
	<-entered
	drained := drains(t, s)
	waitForDrain(t, address)
	send(t, conn, ping) // whose answer follows a GOAWAY that has been sent
	names := map[byte]string{1: "HEADERS", 6: "PING", 7: "GOAWAY"}
	var got []string
	for len(got) < len(names) {
		var header [9]byte
		_, err := io.ReadFull(conn, header[:])
		payload := make([]byte, int(header[1])<<8|int(header[2]))
		if err == nil {
			_, err = io.ReadFull(conn, payload)
		}
		if err != nil {
			t.Errorf("after %q: %v", got, err)
			break
		}
		name := names[header[3]]
		if name != "" {
			got = append(got, name)
		}
		switch {
		case name == "PING":
			close(leave)
		case name == "GOAWAY" && !bytes.HasPrefix(payload, []byte{0, 0, 0, 1}):
			t.Errorf("GOAWAY does not name the stream as one that the handler may have seen: %q", payload)
		}
	}
	if want := []string{"PING", "GOAWAY", "HEADERS"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	_ = conn.Close()
	fdtest.Must(t, <-drained)
}

// With HTTP/2, a client can keep the server from sending a body.
func TestAPanicDoesNotWaitForTheClient(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	s, address, _ := serve(t, &http.Server{
		Protocols: protocols("HTTP/2"),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			entered <- true
			<-leave
			_, _ = io.WriteString(w, "x")
			panic(http.ErrAbortHandler)
		}),
	})
	const settings = "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x04\x00\x00\x00\x00" // INITIAL_WINDOW_SIZE is 0
	dial(t, address, preface+settings+headers)
	<-entered
	drained := drains(t, s)
	waitForDrain(t, address)
	close(leave)
	fdtest.Must(t, <-drained)
}

// A fakeWriter has the methods of net/http's ResponseWriter for HTTP/1.
type fakeWriter struct {
	*httptest.ResponseRecorder
	http.Hijacker
	got []io.Reader // by ReadFrom
}

func (w *fakeWriter) FlushError() error                { return nil }
func (w *fakeWriter) CloseNotify() <-chan bool         { return nil }
func (w *fakeWriter) SetReadDeadline(time.Time) error  { return nil }
func (w *fakeWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *fakeWriter) EnableFullDuplex() error          { return nil }

func (w *fakeWriter) ReadFrom(src io.Reader) (int64, error) {
	w.got = append(w.got, src)
	return io.Copy(w.Body, src)
}

// sendfile(2) needs the file itself. The connection cannot use a Reader that contains it.
func TestReadFromPassesTheFileOn(t *testing.T) {
	f, err := os.Open("writer_test.go")
	fdtest.Must(t, err)
	defer func() { _ = f.Close() }()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.(io.ReaderFrom).ReadFrom(f); err != nil {
			t.Error(err)
		}
	})}
	httpdrain.New(server)
	w := &fakeWriter{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	server.Handler.ServeHTTP(w, r.WithContext(server.ConnContext(r.Context(), &net.TCPConn{})))
	text, err := os.ReadFile("writer_test.go")
	if err != nil || !bytes.Equal(text, w.Body.Bytes()) || w.got[len(w.got)-1] != f {
		t.Errorf("ReadFrom was called with %v, and received %d bytes; want %d, the last of them from the file itself", w.got, w.Body.Len(), len(text))
	}
}
