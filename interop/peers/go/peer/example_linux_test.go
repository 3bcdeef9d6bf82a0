package peer_test

import (
	"errors"
	"go/parser"
	"go/token"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
)

// mine stands for the package of a library.
var mine struct {
	MaxFDs        int
	ErrClosedSome error
	Send          func(sock int, p []byte, fds []int) (int, error)
	Recv          func(sock int, p []byte, room int) (int, []int, error)
}

var library = peer.Library{
	Name:    "mine",
	Version: peer.ModuleVersion("example.org/mine"),
	Can:     "stream,dgram,seqpacket,multi",
	Open:    func(sock int) (peer.Socket, error) { return socket{sock}, nil },
}

type socket struct{ fd int }

func (s socket) Send(m peer.Message) (int, error) {
	if len(m.FDs) > mine.MaxFDs {
		return 0, peer.ErrUnsupported
	}
	return mine.Send(s.fd, m.Buffers[0], m.FDs)
}

func (s socket) Recv(r peer.Room) (peer.Received, error) {
	n, fds, err := mine.Recv(s.fd, r.Buffers[0], r.FDs)
	return peer.Received{N: n, Payload: r.Filled(n), FDs: fds}, err
}

type conn struct {
	*net.UnixConn
	socket
}

func (c conn) Done() { _ = c.UnixConn.Close() } // made from a duplicate of the socket

func (c conn) Recv(r peer.Room) (peer.Received, error) {
	n, fds, err := mine.Recv(c.fd, r.Buffers[0], r.FDs)
	if errors.Is(err, mine.ErrClosedSome) {
		return peer.Received{N: n, Payload: r.Filled(n), Closed: peer.Uncounted}, nil
	}
	return peer.Received{N: n, FDs: fds}, err
}

func main() { peer.Main(library) }

var (
	_ peer.Socket = socket{}
	_ peer.Doner  = conn{}
	_             = main
)

// The examples in the package's comments are parts of this file, so they compile.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("example_linux_test.go")
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "library.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, c := range f.Comments {
		_, code, found := strings.Cut(c.Text(), "\n\n\t")
		if !found {
			continue
		}
		examples++
		for line := range strings.Lines("\t" + code) {
			if !strings.Contains(string(text), "\n"+strings.TrimPrefix(line, "\t")) && !strings.Contains(string(text), "\n"+line) {
				t.Errorf("not in this file: %s", line)
			}
		}
	}
	if examples != 7 {
		t.Errorf("%d examples", examples)
	}
}
