//go:build unix

package webtest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// ends sends one request, and returns the error of a load that ends then, and may have lost some requests.
func ends(c *Client, lose int) error {
	c.send()
	_, err := (&Load{clients: []*Client{c}, stop: func() {}}).End(lose)
	return err
}

func TestLoadNoticesLoss(t *testing.T) {
	for what, f := range map[string]http.HandlerFunc{
		"no answer":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, 7) },
	} {
		server := httptest.NewServer(f)
		defer server.Close()
		c := &Client{URL: server.URL, Rest: Done}
		if ends(c, 0) == nil || ends(c, 2) != nil || c.lost != 2 || c.refused != 0 {
			t.Errorf("%s: %d lost, %d refused", what, c.lost, c.refused)
		}
		if _, err := Start(c); err == nil {
			t.Errorf("%s: a load has started without an answer", what)
		}
	}
}

func TestLoadNoticesRefusal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	fdtest.Must(t, err)
	_ = l.Close()
	none := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", filepath.Join(fdtest.ShortDir(t), "none"))
	}}
	for _, c := range []*Client{{URL: "http://" + l.Addr().String()}, {URL: "http://x", HTTP: http.Client{Transport: none}}} {
		if ends(c, 1) == nil || c.lost != 0 || c.refused != 1 {
			t.Errorf("%d lost, %d refused: %v", c.lost, c.refused, c.errors)
		}
	}
}
