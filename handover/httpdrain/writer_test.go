//go:build unix

package httpdrain_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scm-rights/scm/handover/httpdrain"
)

// methods returns which methods of net/http's ResponseWriters w has.
func methods(w http.ResponseWriter) string {
	var found []string
	note := func(name string, ok bool) {
		if ok {
			found = append(found, name)
		}
	}
	_, ok := w.(http.Flusher)
	note("Flush", ok)
	_, ok = w.(interface{ FlushError() error })
	note("FlushError", ok)
	_, ok = w.(http.Hijacker)
	note("Hijack", ok)
	_, ok = w.(io.ReaderFrom)
	note("ReadFrom", ok)
	_, ok = w.(io.StringWriter)
	note("WriteString", ok)
	_, ok = w.(http.Pusher)
	note("Push", ok)
	_, ok = w.(interface{ CloseNotify() <-chan bool })
	note("CloseNotify", ok)
	_, ok = w.(interface{ SetReadDeadline(time.Time) error })
	note("SetReadDeadline", ok)
	_, ok = w.(interface{ SetWriteDeadline(time.Time) error })
	note("SetWriteDeadline", ok)
	_, ok = w.(interface{ EnableFullDuplex() error })
	note("EnableFullDuplex", ok)
	return strings.Join(found, " ")
}

// both calls try with an http.Server, and with one that New has changed, and returns what it returned.
func both(t *testing.T, newServer func() *http.Server, try func(address string) string) (theirs, ours string) {
	t.Helper()
	server := newServer()
	l, address := listen(t)
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	theirs = try(address)
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	server = newServer()
	s, address, _ := serve(t, server)
	ours = try(address)
	_ = server.Close() // clients that keep their connections
	if err := s.Drain(patient(t)); err != nil {
		t.Error(err)
	}
	return theirs, ours
}

func TestHandlersGetAWriterWithTheMethodsOfTheOriginal(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		theirs, ours := both(t, func() *http.Server {
			return &http.Server{Protocols: protocols(protocol), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, methods(w))
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

// Without a drain, a server answers like net/http, and closes the same connections.
func TestMaxBytesReaderClosesTheConnection(t *testing.T) {
	limited := func(limit int64, read func(r io.Reader) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := read(http.MaxBytesReader(w, r.Body, limit)); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			}
		}
	}
	all := func(r io.Reader) error { _, err := io.ReadAll(r); return err }
	for _, c := range []struct {
		name    string
		body    int
		handler http.HandlerFunc
		closed  bool
	}{
		{"exceeded", 1000, limited(10, all), true},
		{"exceeded by a byte", 1000, limited(999, all), true},
		{"exceeded in a later Read", 10_000, limited(5000, all), true},
		{"not exceeded", 1000, limited(1000, all), false},
		{"a body as long as a buffer", 512, limited(5000, all), false},
		{"a part, without a limit", 1000, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadFull(r.Body, make([]byte, 600)) }, false},
		{"read in full duplex", 1000, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			limited(10, all)(w, r)
		}, true},
		{"through a middleware's reader", 1000, func(w http.ResponseWriter, r *http.Request) {
			r.Body = struct {
				io.Reader
				io.Closer
			}{r.Body, r.Body}
			limited(10, all)(w, r)
		}, true},
		{"after the header has been written", 1000, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = all(http.MaxBytesReader(w, r.Body, 10))
			_, _ = io.WriteString(w, "x")
		}, true},
		{"after all has been written", 1000, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = all(http.MaxBytesReader(w, r.Body, 10))
		}, true},
		{"MaxBytesHandler", 1000, http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if all(r.Body) != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		}), 10).ServeHTTP, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var logged lockedBuffer
			theirs, ours := both(t, func() *http.Server {
				return &http.Server{Handler: c.handler, ErrorLog: log.New(&logged, "", 0)}
			}, func(address string) string {
				conn := dial(t, address, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", c.body, strings.Repeat("x", c.body)))
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					return err.Error()
				}
				text, err := io.ReadAll(response.Body)
				return fmt.Sprint(response.StatusCode, response.Close, string(text), err)
			})
			if theirs != ours || strings.Contains(ours, "true") != c.closed {
				t.Errorf("got %q, net/http answers %q, want Connection: close %v", ours, theirs, c.closed)
			}
			if text := logged.String(); text != "" {
				t.Error(text)
			}
		})
	}
}

// A lockedBuffer is a bytes.Buffer for multiple goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// net/http removes the files of the request that it has made, not of a copy.
func TestFilesOfAFormAreRemoved(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	stored := make(chan int, 1)
	s, address, _ := serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(0); err != nil {
			t.Error(err)
		}
		files, _ := filepath.Glob(folder + "/*")
		stored <- len(files)
	})})
	body := "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n" + strings.Repeat("x", 20<<20) + "\r\n--x--\r\n"
	response, err := http.Post("http://"+address, "multipart/form-data; boundary=x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := s.Drain(patient(t)); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) > 0 || <-stored != 1 {
		t.Errorf("after the request, %v are in the folder, %v", files, err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.(io.ReaderFrom).ReadFrom(f); err != nil {
			t.Error(err)
		}
	})}
	httpdrain.New(server)
	w := &fakeWriter{ResponseRecorder: httptest.NewRecorder()}
	server.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	text, err := os.ReadFile("writer_test.go")
	if err != nil || !bytes.Equal(text, w.Body.Bytes()) || w.got[len(w.got)-1] != f {
		t.Errorf("ReadFrom was called with %v, and received %d bytes; want %d, the last of them from the file itself", w.got, w.Body.Len(), len(text))
	}
}
