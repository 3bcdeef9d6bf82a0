package programs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/procfs"
)

// The modes of the socket and of its directories say who may connect.
func TestClients(t *testing.T) {
	fdtest.NeedRoot(t, "give a socket to another group")
	parent := fdtest.ShortDir(t)
	dir := filepath.Join(parent, "dir")
	address := filepath.Join(dir, "socket")
	fdtest.Must(t, errors.Join(os.Chmod(parent, 0o755), os.Mkdir(dir, 0o755)))
	l, err := Listen(unix.SOCK_STREAM, address)
	fdtest.Must(t, err)
	defer unix.Close(l)
	for _, c := range []struct {
		dir, socket os.FileMode
		gid         int
		want        string
	}{
		{0o755, 0o777, 0, "any"},
		{0o755, 0o775, 0, "group:root"},
		{0o755, 0o755, 0, "user:root"},
		{0o710, 0o777, 0, "group:root"},
		{0o700, 0o777, 0, "user:root"},
		{0o710, 0o775, 54321, "group:root"}, // which may search the directory
		{0o711, 0o775, 54321, "group:54321"},
	} {
		fdtest.Must(t, errors.Join(os.Chmod(dir, c.dir), unix.Chown(address, 0, c.gid), os.Chmod(address, c.socket)))
		if got := clients(address); got != c.want {
			t.Errorf("modes %o and %o, group %d: got %s, want %s", c.dir, c.socket, c.gid, got, c.want)
		}
	}
	if got := clients("@name"); got != "any" {
		t.Error(got)
	}
	if got := clients(address + "2"); got != "unknown" {
		t.Error(got)
	}
}

// A child that has inherited the descriptors of its parent does not double what a message leaves.
func TestExtentOfSharedDescriptors(t *testing.T) {
	pid := os.Getpid()
	server := &target{server: &Server{pid: pid}, address: "@name"}
	list := []Holding{{PID: pid, TID: pid, FDs: 3}, {PID: pid, TID: pid, FDs: 3}}
	if got := server.extent(list, 3); !strings.Contains(got, ": 1 per message, ") {
		t.Error(got)
	}
}

// Descriptors that are spread over several tables reach the limit of the fullest one after more messages.
func TestExtentInSeveralTables(t *testing.T) {
	pid := os.Getpid()
	server := &target{server: &Server{pid: pid}, address: "@name"}
	ring := &procfs.Ring{Size: 100, Files: make([]string, 10)}
	almost := &procfs.Ring{Size: 8, Files: make([]string, 7)}
	full := &procfs.Ring{Size: 8, Files: make([]string, 8)}
	for _, c := range []struct {
		list []Holding
		want string
	}{
		{[]Holding{{FDs: 1, ring: ring}, {FDs: 2, ring: ring}},
			": 2 per 3 messages in one table, so that about 135 messages reach its limit of 100"},
		{[]Holding{{FDs: 4, ring: ring}}, ": 4 per 3 messages in one table, so that about 67 messages reach its limit of 100"},
		{[]Holding{{FDs: 6, ring: almost}}, ": 2 per message, so that the next message reaches its limit of 8;"},
		{[]Holding{{FDs: 6, ring: full}}, ": 2 per message, so that the next message reaches its limit of 8;"},
		{[]Holding{{TID: -1, FDs: 3}}, "; who may connect: any"}, // a thread that has ended
	} {
		for i := range c.list {
			c.list[i].PID = pid
		}
		if got := server.extent(c.list, 3); !strings.Contains(got, c.want) || !strings.HasSuffix(got, "; who may connect: any") {
			t.Errorf("got %q, want %q and who may connect", got, c.want)
		}
	}
}
