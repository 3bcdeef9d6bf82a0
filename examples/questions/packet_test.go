//go:build linux

package questions

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

// longest returns the length of the longest packet that conn can send.
func longest(conn *scm.Conn) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) {
		n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	return n - 32, errors.Join(err, failed)
}

// sysctl reads a number from /proc/sys/net/core.
func sysctl(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/core/" + name)
	if err != nil {
		t.Skip(err) // some containers hide it
	}
	return program.Must(strconv.Atoi(strings.TrimSpace(string(text))))
}

func TestPacketLength(t *testing.T) {
	defaultSize, most := sysctl(t, "wmem_default"), sysctl(t, "wmem_max")
	for _, network := range []string{"unixpacket", "unixgram"} {
		for _, c := range []struct {
			name      string
			set, want int // the size that is set, and the length of the longest packet
		}{
			{"default", 0, defaultSize - 32},
			{"SetWriteBuffer", most / 2, most - 32},
			{"SetWriteBuffer with more than wmem_max", most + 1, 2*most - 32},
		} {
			t.Run(network+" "+c.name, func(t *testing.T) {
				a, b, err := scm.Pair(network)
				fdtest.Must(t, err)
				defer func() { _, _ = a.Close(), b.Close() }()
				if c.set > 0 {
					fdtest.Must(t, a.SetWriteBuffer(c.set))
				}
				if n, err := longest(a); n != c.want || err != nil {
					t.Fatalf("%d, %v, not %d", n, err, c.want)
				}
				for _, files := range [][]*os.File{nil, {os.Stdin}} { // a descriptor has no bytes of payload
					if _, err := a.WriteFiles(make([]byte, c.want+1), files...); !errors.Is(err, unix.EMSGSIZE) {
						t.Errorf("%d bytes and %d files: got %v, want EMSGSIZE", c.want+1, len(files), err)
					}
					if c.want > 1<<20 {
						continue // the kernel may not have the memory
					}
					if _, err := a.WriteFiles(make([]byte, c.want), files...); err != nil {
						t.Errorf("%d bytes and %d files: %v", c.want, len(files), err)
					}
					n, received, err := b.ReadFiles(make([]byte, c.want), len(files))
					if n != c.want || len(received) != len(files) || err != nil {
						t.Errorf("received %d bytes and %d files, %v; want %d and %d",
							n, len(received), err, c.want, len(files))
					}
					for _, f := range received {
						_ = f.Close()
					}
				}
			})
		}
	}
}
