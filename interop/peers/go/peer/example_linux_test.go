package peer_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/scm-rights/scm/interop/peers/go/peer"
	"golang.org/x/sys/unix"
)

// mine stands for the package of a library.
var mine struct {
	MaxFDs        int
	ErrClosedSome error
	Send          func(sock int, p []byte, fds []int) (int, error)
	Recv          func(sock int, p []byte, room int) (int, []int, error)
	SendFile      func(sock *os.File, p []byte, f *os.File) error
	RecvFile      func(sock *os.File, p []byte) (int, *os.File, error)
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

type fileSocket struct{ f *os.File } // Open returns fileSocket{kept(os.NewFile(uintptr(sock), "socket"))}

func (s fileSocket) Send(m peer.Message) (int, error) {
	if len(m.FDs) != 1 || m.FDs[0] < 0 {
		return 0, peer.ErrUnsupported
	}
	return len(m.Buffers[0]), mine.SendFile(s.f, m.Buffers[0], kept(os.NewFile(uintptr(m.FDs[0]), "file")))
}

func (s fileSocket) Recv(r peer.Room) (peer.Received, error) {
	n, f, err := mine.RecvFile(s.f, r.Buffers[0])
	got := peer.Received{N: n, Payload: r.Filled(n)}
	if f != nil {
		got.FDs = []int{int(kept(f).Fd())}
	}
	return got, err
}

var files []*os.File

func kept(f *os.File) *os.File {
	files = append(files, f)
	return f
}

// The peer closes what a library for files was given and has received, and the garbage collector closes nothing more.
func TestFileSocket(t *testing.T) {
	mine.SendFile = func(sock *os.File, p []byte, f *os.File) error {
		return unix.Sendmsg(int(sock.Fd()), p, unix.UnixRights(int(f.Fd())), nil, 0)
	}
	mine.RecvFile = func(sock *os.File, p []byte) (int, *os.File, error) {
		control := make([]byte, unix.CmsgSpace(4))
		n, _, _, _, err := unix.Recvmsg(int(sock.Fd()), p, control, unix.MSG_CMSG_CLOEXEC)
		return n, os.NewFile(uintptr(binary.NativeEndian.Uint32(control[unix.CmsgLen(0):])), "received"), err
	}
	lib := peer.Library{Name: "mine", Version: "1", Can: "seqpacket", Open: func(sock int) (peer.Socket, error) {
		return fileSocket{kept(os.NewFile(uintptr(sock), "socket"))}, nil
	}}
	sock, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	sent, err2 := unix.Dup(sock[0])
	commands := fmt.Sprintf("use sock=%d fds=%d\nsend payload=61 fds=%[2]d\nuse sock=%[3]d\nrecv bytes=1 fds=1\nend\n", sock[0], sent, sock[1])
	var answers strings.Builder
	err = errors.Join(err, err2, peer.Serve(lib, strings.NewReader(commands), &answers))
	if want := fmt.Sprintf("ok\nok n=1\nok\nok n=1 payload=61 fds=%d\nok\n", sock[0]); answers.String() != want || err != nil {
		t.Fatalf("%v, got %q, want %q", err, &answers, want)
	}
	pairs := make([][2]int, 2)
	for i := range pairs { // they have the same descriptors
		if err := unix.Pipe2(pairs[i][:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	collected := make(chan bool)
	runtime.SetFinalizer(&os.File{}, func(*os.File) { close(collected) })
	runtime.GC()
	<-collected
	runtime.GC()
	for _, fd := range slices.Concat(pairs[0][:], pairs[1][:]) {
		if err := unix.Close(fd); err != nil {
			t.Errorf("descriptor %d, of another pair: %v", fd, err)
		}
	}
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
	if examples != 8 {
		t.Errorf("%d examples", examples)
	}
}
