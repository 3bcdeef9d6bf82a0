//go:build unix

package sys_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/sys"
)

// Both ends of a connection report the process, and its effective user and group. A TCP socket has none.
func TestPeerCred(t *testing.T) {
	if runtime.GOOS == "aix" || runtime.GOOS == "dragonfly" {
		t.Skip("no PeerCred on", runtime.GOOS)
	}
	for address, want := range map[net.Addr][3]int{
		&net.UnixAddr{Net: "unix", Name: filepath.Join(fdtest.ShortDir(t), "s")}: {os.Getpid(), os.Geteuid(), os.Getegid()},
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}:                                 {0, -1, -1},
	} {
		l, err := net.Listen(address.Network(), address.String())
		fdtest.Must(t, err)
		client, err := net.Dial(address.Network(), l.Addr().String())
		fdtest.Must(t, err)
		server, _ := l.Accept()
		_, _ = sys.Hold([]syscall.Conn{client.(syscall.Conn), server.(syscall.Conn)}, func(fds []int) error {
			for _, fd := range fds {
				pid, uid, gid, err := sys.PeerCred(fd)
				if got := [3]int{pid, uid, gid}; got != want || (err == nil) != (pid > 0) {
					t.Errorf("%s: got the process, user and group %v, %v; want %v", address.Network(), got, err, want)
				}
			}
			return nil
		})
		_, _, _ = l.Close(), client.Close(), server.Close()
	}
}
