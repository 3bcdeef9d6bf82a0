//go:build unix

package sys

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Both ends of a connection report the process, and its effective user and group.
func TestPeerCred(t *testing.T) {
	if runtime.GOOS == "aix" || runtime.GOOS == "dragonfly" {
		t.Skip("no PeerCred on", runtime.GOOS)
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{client, server} {
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			t.Fatal(err)
		}
		pid, uid, gid, err := PeerCred(int(f.Fd()))
		if err != nil || pid != os.Getpid() || uid != os.Geteuid() || gid != os.Getegid() {
			t.Errorf("process %d, user %d, group %d, %v", pid, uid, gid, err)
		}
		_, _ = f.Close(), conn.Close()
	}
}
