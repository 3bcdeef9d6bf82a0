//go:build unix

package sys

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Both ends of a connection report the process, and its effective user and group. A TCP socket has none.
func TestPeerCred(t *testing.T) {
	if runtime.GOOS == "aix" || runtime.GOOS == "dragonfly" {
		t.Skip("no PeerCred on", runtime.GOOS)
	}
	for _, address := range [][2]string{{"unix", filepath.Join(t.TempDir(), "s")}, {"tcp", "127.0.0.1:0"}} {
		l, err := net.Listen(address[0], address[1])
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial(address[0], l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, _ := l.Accept()
		for _, conn := range []net.Conn{client, server} {
			f, err := conn.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Fatal(err)
			}
			want := [3]int{os.Getpid(), os.Geteuid(), os.Getegid()}
			if address[0] == "tcp" {
				want = [3]int{0, -1, -1}
			}
			pid, uid, gid, err := PeerCred(int(f.Fd()))
			if got := [3]int{pid, uid, gid}; got != want || (err == nil) != (address[0] == "unix") {
				t.Errorf("%s: got the process, user and group %v, %v; want %v", address[0], got, err, want)
			}
			_, _ = f.Close(), conn.Close()
		}
		_ = l.Close()
	}
}
