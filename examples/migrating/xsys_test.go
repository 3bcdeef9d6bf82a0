//go:build linux

package migrating

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/examples/internal/program"
	"github.com/scm-rights/scm/internal/fdtest"
)

var errNoFile = errors.New("no file")

func sendFile(conn *net.UnixConn, f *os.File) error {
	_, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(f.Fd())), nil)
	return err
}

func recvFile(conn *net.UnixConn) (*os.File, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), control)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(err, errNoFile)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

// docs/migrating.md shows sendFile and recvFile.
func TestPageShowsXSys(t *testing.T) {
	page, source := program.ReadFlat("../../docs/migrating.md"), program.ReadFlat("xsys_test.go")
	_, code, _ := strings.Cut(source, "\nfunc sendFile(")
	code, _, _ = strings.Cut(code, "\n\n// docs/migrating.md")
	if !strings.Contains(page, "\nfunc sendFile("+code) {
		t.Errorf("docs/migrating.md does not have\n%s", code)
	}
}

// open returns the number of open descriptors.
func open(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	fdtest.Must(t, err)
	return len(entries)
}

// The faults of recvFile that README.md and docs/migrating.md name, and the same messages received by RecvFile.
func TestFaultsOfRecvFile(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("on a 32-bit system, the buffer has no space for a second descriptor")
	}
	a, b, err := scm.Pair("unixpacket")
	fdtest.Must(t, err)
	defer closeAll(a, b)
	for _, test := range []struct {
		name    string
		payload [][]byte
		fds     []int
		err     error // of recvFile
		left    int   // what recvFile leaves open
		want    any   // the type of the error of RecvFile, or nil
	}{
		{"one descriptor", [][]byte{{0}}, []int{0}, nil, 0, nil},
		{"two: the second stays open", [][]byte{{0}}, []int{0, 0}, nil, 1, new(*scm.TruncatedError)},
		{"three: the loss of one is not reported", [][]byte{{0}}, []int{0, 0, 0}, nil, 1, new(*scm.TruncatedError)},
		{"an empty packet: its descriptor stays open", nil, []int{0}, io.EOF, 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			receive := func(recv func() (*os.File, error)) (left int, err error) {
				fdtest.Must(t, a.Send(&scm.Message{Buffers: test.payload, FDs: test.fds}, 0))
				before := open(t)
				f, err := recv()
				if f != nil {
					_ = f.Close()
				}
				return open(t) - before, err
			}
			if left, err := receive(func() (*os.File, error) { return recvFile(b.UnixConn) }); left != test.left || !errors.Is(err, test.err) {
				t.Errorf("recvFile leaves %d open and returns %v, want %d and %v", left, err, test.left, test.err)
			}
			left, err := receive(b.RecvFile)
			if left != 0 || test.want == nil && err != nil || test.want != nil && !errors.As(err, test.want) {
				t.Errorf("RecvFile leaves %d open and returns %v, want none and a %T", left, err, test.want)
			}
		})
	}
}

// sendFile makes the file blocking for all processes that have it, and SendFile does not.
func TestFaultOfSendFile(t *testing.T) {
	a, b, err := scm.Pair("unix")
	fdtest.Must(t, err)
	defer closeAll(a, b)
	r, w, err := os.Pipe()
	fdtest.Must(t, err)
	defer closeAll(r, w)
	fdtest.Must(t, a.SendFile("r", r))
	if on, err := scm.Nonblock(r); !on || err != nil {
		t.Errorf("after SendFile, Nonblock returns %v, %v, want true", on, err)
	}
	fdtest.Must(t, sendFile(a.UnixConn, r))
	if on, err := scm.Nonblock(r); on || err != nil {
		t.Errorf("after sendFile, Nonblock returns %v, %v, want false", on, err)
	}
}
