//go:build linux

package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFormatReceived(t *testing.T) {
	for _, c := range []struct {
		got  Received
		at   int
		want string
	}{
		{Received{}, 0, "n=0 payload=- fds=-"},
		{Received{N: 5, Payload: []byte("hello")}, 0, "n=5 payload=68656c6c6f fds=-"},
		{Received{N: 4097, Payload: make([]byte, 4097)}, 0, "n=4097 payload=!1 fds=-"},
		{Received{N: -1, FDs: []int{12, 13}}, 0, "n=-1 payload=- fds=12,13"},
		{Received{FDs: []int{12}, Closed: 1}, 0, "n=0 payload=- fds=12,closed:1"},
		{Received{Closed: 2}, 0, "n=0 payload=- fds=closed:2"},
		{Received{Closed: Uncounted}, 0, "n=0 payload=- fds=closed"},
		{Received{EOF: true}, 0, "n=0 payload=- fds=- eof"},
		{Received{HasFlags: true}, 0, "n=0 payload=- fds=- flags=-"},
		{Received{HasFlags: true, Flags: unix.MSG_CMSG_CLOEXEC}, 0, "n=0 payload=- fds=- flags=-"},
		{Received{HasFlags: true, Flags: unix.MSG_EOR | unix.MSG_TRUNC | unix.MSG_OOB | unix.MSG_CTRUNC | unix.MSG_ERRQUEUE, EOF: true}, 0,
			"n=0 payload=- fds=- flags=ctrunc,eor,oob,trunc,0x2000 eof"},
	} {
		if got := formatReceived(c.got, c.at); got != "ok "+c.want {
			t.Errorf("%+v at %d: got %s, want ok %s", c.got, c.at, got, c.want)
		}
	}
}

func TestFormatError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{unix.EMSGSIZE, "err 90"},
		{unix.ENOSYS, "err 38"},
		{unix.EAGAIN, "err 11"},
		{unix.EOPNOTSUPP, "err 95"},
		{unix.Errno(4000), "err 4000"},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("sendmsg", unix.EPIPE)}, "err 32"},
		{ErrUnsupported, "unsupported"},
		{fmt.Errorf("no seqpacket: %w", ErrUnsupported), "unsupported"},
		{io.ErrUnexpectedEOF, "err lib unexpected EOF"},
		{errors.New("two\nlines\x00\xff…"), `err lib two\nlines\x00\xff\u2026`},
		{errors.New(strings.Repeat("x", 1<<20)), "err lib " + strings.Repeat("x", 1000)},
	} {
		if got := FormatError(c.err); got != c.want {
			t.Errorf("%v: got %s, want %s", c.err, got, c.want)
		}
	}
}
