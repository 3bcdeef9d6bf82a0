//go:build unix

package fdtest

import (
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A server makes its socket file, and listens only after a client has been refused.
func TestConnectWaitsForListen(t *testing.T) {
	path := filepath.Join(ShortDir(t), "socket")
	sock, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	Must(t, err)
	defer func() { _ = syscall.Close(sock) }()
	var refusals []error
	conn := Connect(t, func() (net.Conn, error) {
		c, err := net.Dial("unix", path)
		if err != nil {
			switch refusals = append(refusals, err); len(refusals) {
			case 1:
				err = errors.Join(err, syscall.Bind(sock, &syscall.SockaddrUnix{Name: path}))
			case 2:
				err = errors.Join(err, syscall.Listen(sock, 1))
			}
		}
		return c, err
	})
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if len(refusals) != 2 || !errors.Is(refusals[0], syscall.ENOENT) || !errors.Is(refusals[1], syscall.ECONNREFUSED) {
		t.Errorf("before listen: %v", refusals)
	}
}

func TestLimit(t *testing.T) {
	for slow, want := range map[string]time.Duration{"": time.Minute, "3": 3 * time.Minute} {
		t.Setenv("SLOW", slow)
		if got := Limit(time.Minute); got != want {
			t.Errorf("SLOW=%s: got %v, want %v", slow, got, want)
		}
	}
}
