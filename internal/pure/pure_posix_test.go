//go:build unix && !linux

package pure_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/scm-rights/scm/internal/fdtest"
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/pure"
	"golang.org/x/sys/unix"
)

// These tests cover behavior specific to one of these systems. They are compiled for all of them, and have to be
// started there.

func sockets(t *testing.T, typ int) (a, b int32) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, typ, 0)
	fdtest.Must(t, err)
	t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
	return int32(pair[0]), int32(pair[1])
}

// If x/sys cannot pass descriptors, the call fails and sends or receives nothing.
func TestDescriptorsAreRejected(t *testing.T) {
	if runtime.GOOS != "solaris" && runtime.GOOS != "illumos" {
		t.Skip("x/sys passes descriptors on", runtime.GOOS)
	}
	a, b := sockets(t, unix.SOCK_DGRAM)
	fd := int32(os.Stdin.Fd())
	if n, err := pure.WriteFD(a, []byte("x"), fd); n != -1 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("WriteFD: %d, %v", n, err)
	}
	m := msg.Message{Buffers: [][]byte{[]byte("x")}, FDs: []int{int(fd)}}
	if err := pure.Send(a, &m, 0); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Send: %v", err)
	}
	fdtest.Must(t, pure.Send(a, &msg.Message{Buffers: [][]byte{[]byte("first")}}, 0))
	if n, fd, err := pure.ReadFD(b, make([]byte, 9)); n != -1 || fd != -1 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ReadFD: %d, %d, %v", n, fd, err)
	}
	m = msg.Message{Buffers: [][]byte{make([]byte, 9)}}
	if err := pure.Recv(b, &m, 0); err != nil || string(m.Buffers[0][:m.N]) != "first" {
		t.Errorf("Recv: %q, %v", m.Buffers[0][:m.N], err)
	}
}

// Messages on a seqpacket socket are not joined, and have no flag of the library's own.
func TestSeqpacketMessages(t *testing.T) {
	if runtime.GOOS == "darwin" || runtime.GOOS == "aix" || runtime.GOOS == "solaris" || runtime.GOOS == "illumos" {
		t.Skip("no Unix sockets of type seqpacket on", runtime.GOOS)
	}
	a, b := sockets(t, unix.SOCK_SEQPACKET)
	for _, payload := range []string{"first", "second"} {
		if err := pure.Send(a, &msg.Message{Buffers: [][]byte{[]byte(payload)}}, 0); err != nil {
			t.Fatalf("send %q: %v", payload, err)
		}
	}
	for _, want := range []string{"first", "second"} {
		m := msg.Message{Buffers: [][]byte{make([]byte, 99)}}
		if err := pure.Recv(b, &m, 0); err != nil || !bytes.Equal(m.Buffers[0][:m.N], []byte(want)) {
			t.Errorf("got %q, %v, want %q", m.Buffers[0][:max(m.N, 0)], err, want)
		} else if m.Flags != 0 {
			t.Errorf("%q: flags %#x, want 0", want, m.Flags)
		}
	}
}

// If x/sys would add a byte to a message, the call fails before the system call.
func TestEmptyMessagesAreRejected(t *testing.T) {
	switch runtime.GOOS {
	case "netbsd", "freebsd", "dragonfly", "solaris", "illumos":
		t.Skip("x/sys adds no byte on", runtime.GOOS)
	}
	a, b := sockets(t, unix.SOCK_STREAM)
	if n, err := pure.WriteFD(a, nil, a); n != -1 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("WriteFD: %d, %v", n, err)
	}
	if n, fd, err := pure.ReadFD(b, nil); n != -1 || fd != -1 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ReadFD: %d, %d, %v", n, fd, err)
	}
}

// A message without buffers can be sent and received.
func TestWithoutBuffers(t *testing.T) {
	a, b := sockets(t, unix.SOCK_DGRAM)
	fdtest.Must(t, pure.Send(a, &msg.Message{}, 0))
	m := msg.Message{}
	if err := pure.Recv(b, &m, unix.MSG_PEEK); err != nil || m.N != 0 {
		t.Errorf("received %d bytes, %v; want none", m.N, err)
	}
}
