package programs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/cmd/scm/internal/programs/testserver"
	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/ownthread"
	"golang.org/x/sys/unix"
)

func TestList(t *testing.T) {
	dir := fdtest.ShortDir(t) // a directory that only this user may search
	mine := named("user:", uint32(os.Getuid()))
	want := map[string]string{} // the type and the clients, by the address
	for _, l := range []struct{ typ, address, clients string }{
		{"stream", dir + "/two  words", mine},
		{"seqpacket", dir + "/seqpacket", mine},
		{"dgram", dir + "/dgram", mine},
		{"stream", dir + "/removed", "unknown"},
		{"stream", fmt.Sprintf("@scm-list-%d", os.Getpid()), "any"},
	} {
		fd, err := testserver.Listen(l.typ, l.address)
		if err != nil {
			t.Fatalf("%s socket %s: %v", l.typ, l.address, err)
		}
		defer unix.Close(fd)
		want[l.address] = fmt.Sprintf("%-9s %-15s", l.typ, l.clients)
	}
	fdtest.Must(t, os.Remove(dir+"/removed"))
	// A thread with a descriptor table of its own has a socket that the others do not have.
	listening, done := make(chan error), make(chan bool)
	go ownthread.Run(func() {
		err := unix.Unshare(unix.CLONE_FILES)
		if err == nil {
			_, err = testserver.Listen("stream", dir+"/thread")
		}
		listening <- err
		<-done
	})
	defer close(done)
	fdtest.Must(t, <-listening)
	want[dir+"/thread"] = fmt.Sprintf("%-9s %-15s", "stream", mine)
	// Connecting to a connection fails, even if it is bound.
	conn, err := net.DialUnix("unix", &net.UnixAddr{Name: dir + "/client"}, &net.UnixAddr{Name: dir + "/two  words"})
	fdtest.Must(t, err)
	defer conn.Close()

	var text, list bytes.Buffer
	var listeners []Listener
	err = List(&list, true)
	if err == nil {
		err = json.Unmarshal(list.Bytes(), &listeners)
	}
	if err == nil {
		err = List(&text, false)
	}
	fdtest.Must(t, err)
	for _, l := range listeners {
		if !strings.HasPrefix(l.Address, dir) && want[l.Address] == "" {
			continue // of other processes
		}
		typeAndClients := fmt.Sprintf("%-9s %-15s", l.Type, l.Clients)
		if want[l.Address] != typeAndClients || !slices.Equal(l.PIDs, []int{os.Getpid()}) || l.Executable != executable(os.Getpid()) {
			t.Errorf("got %+v, want %s", l, want[l.Address])
		}
		oneWord := strings.ReplaceAll(executable(os.Getpid()), " ", `\x20`)
		line := fmt.Sprintf("\n%-7d %s %-25s %s\n", os.Getpid(), want[l.Address], oneWord, l.Address)
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q in\n%s", line, &text)
		}
		delete(want, l.Address)
	}
	if len(want) > 0 {
		t.Errorf("does not list %v in %+v", want, listeners)
	}
}
