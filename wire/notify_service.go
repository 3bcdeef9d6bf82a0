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

// ErrNoNotifySocket is returned by DialNotify if NOTIFY_SOCKET is not set, which means that no service
// manager expects notifications.
var ErrNoNotifySocket = errors.New("wire: NOTIFY_SOCKET is not set")

// DialNotify returns a datagram socket connected to the service manager's socket, whose path or abstract
// name is in NOTIFY_SOCKET. The socket is blocking and close-on-exec, and the caller must close it. If
// NOTIFY_SOCKET is not set, the error is ErrNoNotifySocket. If the variable has an address of another
// family, the error is a *FormatError. Other errors are those of socket(2) and connect(2).
func DialNotify() (FD, error) {
	name := os.Getenv("NOTIFY_SOCKET")
	switch {
	case name == "":
		return -1, ErrNoNotifySocket
	case name[0] != '/' && name[0] != '@':
		return -1, theNotify.errorf("NOTIFY_SOCKET=%q is neither a path nor an abstract name", name)
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

// NotifyStore asks the service manager to keep duplicates of the descriptors fds, and to pass them to the
// service under the given name when it next starts the service (FDSTORE=1 and FDNAME). The caller still
// owns fds. If systemd does not accept the name, the error is a *FormatError. Success does not mean that
// the descriptors were stored.
func NotifyStore(sock Socket, name string, fds ...int) error {
	if err := theNotify.count(fds, 1, scm.MaxFDs); err != nil {
		return err
	}
	if err := theNotify.fdName(name); err != nil {
		return err
	}
	return Notify.Send(sock, "FDSTORE=1\nFDNAME="+name, fds...)
}

// NotifyStoreFiles is like [NotifyStore], but takes files, which the caller still owns. If a file is nil
// or closed, the error wraps [os.ErrInvalid] or [os.ErrClosed], and nothing is sent. To store a listener
// or connection, pass the result of its File method, and then close it. Never pass NotifyStore the result
// of Fd, which can make the listener blocking (docs/pitfalls.md).
func NotifyStoreFiles(sock Socket, name string, files ...*os.File) error {
	return holding(Notify, files, func(fds []int) error { return NotifyStore(sock, name, fds...) })
}

// NotifyRemove asks the service manager to close the descriptors that it keeps under the given name
// (FDSTOREREMOVE=1). It returns the same errors as NotifyStore.
func NotifyRemove(sock Socket, name string) error {
	if err := theNotify.fdName(name); err != nil {
		return err
	}
	return Notify.Send(sock, "FDSTOREREMOVE=1\nFDNAME="+name)
}

// fdName checks that systemd accepts name as the name of a descriptor.
func (f notify) fdName(name string) error {
	bad := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	if name == "" || len(name) > 255 || strings.ContainsFunc(name, bad) {
		return f.errorf("invalid name %q: want 1 to 255 printable ASCII characters other than a colon", name)
	}
	return nil
}

// NotifyBarrier waits until the service manager has processed all messages sent earlier (BARRIER=1). It
// leaves no descriptor open. If ctx is done first, NotifyBarrier returns ctx.Err(), at most a second
// later. The barrier may nevertheless have been sent. Only ctx limits the whole wait. SO_SNDTIMEO and a
// Conn's deadlines do not. Other errors are those of pipe(2) and Notify.Send.
func NotifyBarrier(ctx context.Context, sock Socket) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := sendBarrier(ctx, sock, w); err != nil { // the pipe was not sent
		_ = w.Close()
		_ = r.Close()
		return err
	}
	answered := make(chan error, 1)
	go func() {
		_ = w.Close()
		// Copy returns when the last write end is closed.
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
	case <-time.After(barrierTimeout):
		err = os.ErrDeadlineExceeded
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}

// barrierTimeout is how long NotifyBarrier waits for its pipe to be closed after ctx is done. The manager can
// hold the pipe's lock, for example during splice(2). A read or close of the pipe, and the thread that makes
// the call, are then blocked until the manager releases the lock.
const barrierTimeout = time.Second

// sendBarrier sends w as soon as the manager's queue has space. It does not call w.Fd, which would make w
// blocking.
func sendBarrier(ctx context.Context, sock Socket, w *os.File) error {
	conn, err := w.SyscallConn()
	if err != nil {
		return err
	}
	flags := sys.NoSignal
	if ctx.Done() != nil {
		flags |= sys.DontWait // ctx cannot interrupt a system call that blocks
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
