//go:build unix

package framed_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/framed"
)

// httpConn is a server's connection whose requests can carry files.
type httpConn struct {
	*scm.Conn
	r *framed.Reader
}

func (c httpConn) Read(p []byte) (int, error) { return c.r.Read(p) }
func (c httpConn) Close() error               { return errors.Join(c.r.Close(), c.Conn.Close()) }

type httpListener struct{ *scm.Listener }

func (l httpListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return httpConn{conn, framed.NewReader(conn, framed.Limits{Message: 1})}, nil
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// takeFiles returns the files of a request, which announces their number in a header. Call it for every request.
// Otherwise the next request gets its files.
func takeFiles(req *http.Request) ([]*os.File, error) {
	count, err := strconv.Atoi(req.Header.Get("Files"))
	if err != nil {
		return nil, err
	}
	return req.Context().Value(connKey{}).(httpConn).r.Take(count)
}

// printText answers with the text of the files.
func printText(w http.ResponseWriter, req *http.Request) {
	files, err := takeFiles(req)
	if err != nil {
		w.Header().Set("Connection", "close") // which also closes files that were not announced
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, f := range files {
		_, _ = io.Copy(w, f)
		_ = f.Close()
	}
}

// An HTTP/1 server can receive files with a request, if the client sends them with its first byte and waits for each
// response before it sends the next request.
func ExampleReader_http() {
	dir, err := os.MkdirTemp("", "scm")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := scm.Listen(context.Background(), "unix", dir+"/socket")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(printText), ConnContext: withConn}
	defer server.Close()
	go server.Serve(httpListener{l})

	client, err := scm.Dial(context.Background(), "unix", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	r, w, _ := os.Pipe()
	_, _ = w.WriteString("hello")
	_ = w.Close()
	if _, err := client.WriteFiles([]byte("GET / HTTP/1.1\r\nHost: server\r\nFiles: 1\r\n\r\n"), r); err != nil {
		fmt.Println(err)
		return
	}
	_ = r.Close()
	response, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body), err)
	// Output: 200 OK hello <nil>
}
