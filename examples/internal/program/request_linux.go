package program

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
)

// Request sends an HTTP request without the last byte of its body, so that the server cannot complete its response. It
// returns when the server reads the body. A server that drained before that would respond at once.
func Request(t *testing.T, address string) {
	t.Helper()
	conn := fdtest.Connect(t, func() (net.Conn, error) { return net.Dial("tcp", address) })
	t.Cleanup(func() { _ = conn.Close() })
	const length = 100_000 // much more than a buffer of net/http, and less than it reads if a handler has not
	_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", length)
	fdtest.Must(t, err)
	_, err = io.WriteString(conn, strings.Repeat("x", length-1))
	fdtest.Must(t, err)
	fdtest.Eventually(t, "the server has read the request", func() bool { return queuesAreEmpty(conn) })
}

// queuesAreEmpty reports whether both ends of a TCP connection have read everything.
func queuesAreEmpty(conn net.Conn) bool {
	port := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
	ours, theirs, empty := port(conn.LocalAddr()), port(conn.RemoteAddr()), 0
	for _, line := range strings.Split(string(Must(os.ReadFile("/proc/net/tcp"))), "\n") {
		words := strings.Fields(line) // number, local address, remote address, state, lengths of the queues, …
		if len(words) < 5 || words[4] != "00000000:00000000" {
			continue
		}
		from, to := words[1], words[2]
		if strings.HasSuffix(from, ours) && strings.HasSuffix(to, theirs) || strings.HasSuffix(from, theirs) && strings.HasSuffix(to, ours) {
			empty++
		}
	}
	return empty == 2
}
