//go:build unix

package fdtest

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// Connect calls dial until it succeeds, and returns the connection. Only this shows that a server
// listens: its socket file exists from bind(2) on, when the kernel still refuses connections.
// Any error other than a missing file or a refused connection fails the test.
func Connect[C any](t testing.TB, dial func() (C, error)) C {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c, err := dial()
		if err == nil {
			return c
		}
		absent := errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
		if !absent || time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
