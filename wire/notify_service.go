package wire

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// ErrNoNotifySocket is returned if no service manager wants to be notified:
// NOTIFY_SOCKET is not set.
var ErrNoNotifySocket = errors.New("wire: NOTIFY_SOCKET is not set")

// DialNotify returns a datagram socket that is connected to the service manager's,
// the path or abstract name in NOTIFY_SOCKET: what NotifyStore and the others
// take. It blocks, is close-on-exec and the caller's to close. Errors are
// ErrNoNotifySocket, a *FormatError for an address of another family, and those of
// socket(2) and connect(2).
func DialNotify() (FD, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	switch {
	case name == "":
		return -1, ErrNoNotifySocket
	case name[0] != '/' && name[0] != '@':
		return -1, theNotify.errorf("NOTIFY_SOCKET is %q, neither a path nor an abstract name", name)
	}
	sock, err := sys.Socket("unixgram")
	if err != nil {
		return -1, err
	}
	if err := sys.Connect(sock, name); err != nil {
		sys.Close(sock)
		return -1, err
	}
	return FD(sock), nil
}

// NotifyStore asks the service manager to keep the descriptors, and to hand them
// to the service under that name when it starts again (FDSTORE=1 and FDNAME).
// The manager keeps duplicates of its own; fds stay open and the caller's. sock is
// DialNotify's. Errors are those of Notify.Send; a name that systemd would not
// take is a *FormatError.
func NotifyStore(sock Socket, name string, fds ...int) error {
	if err := theNotify.count(fds, 1, scm.MaxFDs); err != nil {
		return err
	}
	if err := theNotify.fdName(name); err != nil {
		return err
	}
	return Notify.Send(sock, "FDSTORE=1\nFDNAME="+name, fds...)
}

// NotifyRemove asks the service manager to close the descriptors that it keeps
// under that name (FDSTOREREMOVE=1). Errors are those of NotifyStore.
func NotifyRemove(sock Socket, name string) error {
	if err := theNotify.fdName(name); err != nil {
		return err
	}
	return Notify.Send(sock, "FDSTOREREMOVE=1\nFDNAME="+name)
}

// fdName checks what systemd takes as the name of a descriptor.
func (f notify) fdName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return f.errorf("the name %q is not 1 to 255 printable ASCII characters without a colon", name)
	}
	return nil
}

// NotifyBarrier waits until the service manager has dealt with everything that was
// sent to it before (BARRIER=1), or until ctx is done: the error is then ctx's, and
// the barrier may have been sent. While the manager's queue is full NotifyBarrier
// tries again, until ctx is done: the deadlines of a Conn count only where ctx has no
// end. It sends the writing end of a pipe, of which the manager's close is the answer;
// nothing of it is left open. Other errors are those of pipe(2) and Notify.Send.
//
// A manager that holds the pipe locked, as from inside splice(2), makes read and close of
// it wait. NotifyBarrier then returns up to a second after ctx is done, and a thread of
// this process waits until the manager lets the pipe go.
func NotifyBarrier(ctx context.Context, sock Socket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := sendBarrier(ctx, sock, w); err != nil { // nobody else has it
		_ = w.Close()
		_ = r.Close()
		return err
	}
	answered := make(chan error, 1)
	go func() {
		_ = w.Close()
		// The reading ends with the last writing end.
		_, err := io.Copy(io.Discard, r)
		_ = r.Close()
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
	}
	_ = r.SetReadDeadline(time.Unix(1, 0))
	select {
	case err = <-answered:
	case <-time.After(barrierPatience):
		err = os.ErrDeadlineExceeded
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// barrierPatience is how long NotifyBarrier waits for the close of its pipe when ctx is done.
const barrierPatience = time.Second

// sendBarrier sends w, once there is room in the manager's queue. Fd, which would
// change w's blocking mode, is not asked for its number.
func sendBarrier(ctx context.Context, sock Socket, w *os.File) error {
	conn, err := w.SyscallConn()
	if err != nil {
		return err
	}
	flags := sys.NoSignal
	if ctx.Done() != nil {
		flags |= sys.DontWait // a system call that waits does not end with ctx
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var sent error
		err := conn.Control(func(fd uintptr) {
			m := scm.Message{Buffers: buffers([]byte("BARRIER=1")), FDs: []int{int(fd)}}
			sent = again(func() error { return sock.Send(&m, flags) })
		})
		switch {
		case err != nil:
			return err
		case !sys.Again(sent):
			return theNotify.named(sent)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
