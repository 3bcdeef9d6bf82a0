//go:build unix

package framed_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/fdtest"
)

// While a handler calls Take, net/http reads from the connection in another goroutine.
func TestTakeDuringARead(t *testing.T) {
	const clients, requests = 8, 200
	before := fdtest.Take()
	l, err := scm.Listen(context.Background(), "unix", filepath.Join(fdtest.ShortDir(t), "socket"))
	fdtest.Must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(printText), ConnContext: withConn}
	served := make(chan error, 1)
	go func() { served <- server.Serve(httpListener{l}) }()
	files := open(t, requests)
	for i, f := range files {
		_, err := fmt.Fprint(f, i)
		fdtest.Must(t, err)
	}
	var all sync.WaitGroup
	for range clients {
		conn, err := scm.Dial(context.Background(), "unix", l.Addr().String())
		fdtest.Must(t, err)
		limit(t, conn)
		all.Add(1)
		go func() {
			defer all.Done()
			defer conn.Close()
			in := bufio.NewReader(conn)
			for i, f := range files {
				sent, want := i%2, ""
				if sent == 1 {
					want = fmt.Sprint(i)
				}
				if got, err := get(conn, in, f.Name(), sent); got != want || err != nil {
					t.Errorf("request %d: got %q, %v; want %q", i, got, err, want)
					return
				}
			}
		}()
	}
	all.Wait()
	if fdtest.Must(t, server.Shutdown(context.Background())); <-served != http.ErrServerClosed {
		t.Error("Serve ended before Shutdown")
	}
	if left := before.NewSince(); len(left) != len(files) {
		t.Errorf("%d more descriptors are open, want the %d files of the test", len(left), len(files))
	}
}

// get sends a request with the file, once or not at all, and returns the body of the response.
func get(conn *scm.Conn, in *bufio.Reader, name string, times int) (body string, err error) {
	f, err := os.Open(name) // with an offset of its own
	if err != nil {
		return "", err
	}
	defer f.Close()
	request := fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: server\r\nFiles: %d\r\n\r\n", times)
	if _, err := conn.WriteFiles(request, []*os.File{f}[:times]...); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
