package scm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// ErrNoFile is returned for a message without a descriptor where the call expects a
// file.
var ErrNoFile = errors.New("scm: a message came without a file")

// nameBytes is the room for a file's name, which is runc's: a name is shorter.
const nameBytes = 4096

// SendFile sends f and a name for it as runc does: one descriptor, and the bytes
// of the name without a terminator. f is an [os.File], a [net.TCPConn], a Conn or
// the like; it stays open and the caller's, whether the call succeeds or fails.
//
// Errors are those of WriteFiles, and ENAMETOOLONG for a name of 4096 bytes or
// more. On a stream the name must have a byte. An error that is [io.ErrShortWrite]
// too means that a stream took the name in part: the file went with its first byte,
// and must not be sent again.
//
// A stream whose SO_SNDBUF is less than about 4 KiB takes a long name in pieces, and
// RecvFile then returns the first piece as the name: use "unixpacket" there.
func (c *Conn) SendFile(name string, f syscall.Conn) error {
	if len(name) >= nameBytes {
		return c.fail("write", sys.ENAMETOOLONG)
	}
	return c.fail("write", c.sendOne(context.Background(), []byte(name), f, nil))
}

// RecvFile receives one file and its name, as runc, conmon and crun send them.
// RecvFile leaves out a NUL at the name's end, which conmon sends. The file is
// close-on-exec and the caller's to close. On a stream the name is what one receive
// returns: it can be the first piece of a long one, see SendFile. It is the sender's
// bytes as they are, also in the file's errors: print both with %q. In a folder
// [os.DirEntry].Info looks entries up by it: see [NewFile].
//
// A message with no descriptor (ErrNoFile), with more than one or with other
// control data ([TruncatedError]), or with 4096 bytes or more (ENAMETOOLONG) is
// refused, and its descriptors are closed. The end is [io.EOF]. The file is as
// [NewFile] makes it; an error of NewFile is returned, and the descriptor closed. Either
// way the process loses its fcntl(F_SETLK) locks on the file: see NewFile.
func (c *Conn) RecvFile() (*os.File, error) {
	p := make([]byte, nameBytes)
	n, fd, err := c.receiveOne(context.Background(), p)
	if err == nil && n >= nameBytes {
		sys.Close(fd)
		err = sys.ENAMETOOLONG
	}
	if err != nil {
		return nil, c.fail("read", err)
	}
	f, err := newFile(fd, strings.TrimSuffix(string(p[:n]), "\x00"))
	if err != nil {
		sys.Close(fd)
		return nil, c.fail("read", err)
	}
	return f, nil
}

// NewFile makes an [os.File] of the received descriptor fd, and takes it over: on
// success the file owns it, close-on-exec and perhaps renumbered. On error fd stays
// open and the caller's.
//
// Use it for a descriptor from Recv, ReadFD or package wire, in place of
// [os.NewFile]. os.NewFile puts every file with O_NONBLOCK into the runtime's
// poller, where one file can stop the whole process: the kernel asks the file
// whether it is ready, and the server of a FUSE file, or a process that holds a
// passed epoll locked, need not answer. Expect does not help: the sender can set
// O_NONBLOCK later, too.
//
// NewFile lets the poller have pipes, and sockets of AF_UNIX, AF_INET and AF_INET6, if
// O_NONBLOCK is set. Any other file stays out of it and keeps its status flags: it has
// no deadline ([os.ErrNoDeadline]), a read or write blocks a thread or, with O_NONBLOCK,
// can fail with EAGAIN. To keep it out NewFile renumbers it and closes fd, and any close
// of a file removes the locks that the process has on it by fcntl(F_SETLK): a partner who
// may only read the file removes them by passing it. Locks of F_OFD_SETLK and flock(2) stay.
//
// Of a folder, [os.DirEntry].Info after ReadDir looks the entry up by the file's name, and
// not by the descriptor: who chooses the name chooses which file it describes. Use Readdir
// (of Go 1.26.1 or later), or fstatat(2) with the descriptor.
//
// A read of a signalfd takes pending signals of the process that reads, also if another
// process made the signalfd. The reading process then does not handle these signals. [Expect]
// with a Kind refuses a signalfd before anybody reads it.
//
// No call that NewFile makes can hold the process up. The partner can hold up this
// one call and any later call on the file, as close(2) of a FUSE file waits for its
// server. Deadlines and contexts do not end that. Errors wrap the errno: EBADF,
// EMFILE, …; the first file of a program also needs free descriptors for the
// runtime's poller.
func NewFile(fd int, name string) (*os.File, error) {
	fd = int(number(fd))
	if err := sys.CloseOnExec(fd); err != nil {
		return nil, err
	}
	return newFile(fd, name)
}

func newFile(fd int, name string) (*os.File, error) {
	if sys.Pollable(fd) {
		if err := sys.StartPoller(); err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), name), nil
	}
	return unpolledFile(fd, name)
}

// unpolledFile is NewFile for a file that is not for the poller. Package os looks at
// O_NONBLOCK once, when it is given a number: it is given that of a file that blocks,
// which then becomes fd's.
func unpolledFile(fd int, name string) (*os.File, error) {
	own, err := sys.StandIn(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), name)
	if err := sys.Replace(own, fd); err != nil {
		_ = f.Close()
		return nil, err
	}
	sys.Close(fd)
	return f, nil
}

// sendOne sends p and one descriptor. If that is a socket that is handed over, its
// Close then keeps the file bound.
func (c *Conn) sendOne(ctx context.Context, p []byte, f syscall.Conn, bound *boundFile) error {
	if err := c.usable(); err != nil {
		return err
	}
	if len(p) == 0 && c.isStream() {
		return ErrEmptyPayload
	}
	raw, err := rawConn(f)
	if errors.Is(err, net.ErrClosed) {
		err = &fileError{0, os.ErrClosed} // not net.ErrClosed: c is open
	}
	if err != nil {
		return err
	}
	k := newCall(c)
	defer k.put()
	k.files, k.bound = append(k.files, raw), bound
	err = k.send(ctx, p)
	if err != nil && k.sent > 0 {
		return &partError{k.sent, len(p), err}
	}
	return err
}

// partError is of a name that a stream took in part: the file went with its first byte.
type partError struct {
	sent, length int
	err          error
}

func (e *partError) Error() string {
	return fmt.Sprintf("the file went, and %d bytes of %d of its name: %v", e.sent, e.length, e.err)
}

func (e *partError) Unwrap() []error { return []error{io.ErrShortWrite, e.err} }

// Timeout is what net.OpError asks for.
func (e *partError) Timeout() bool { return os.IsTimeout(e.err) }

// receiveOne receives exactly one descriptor, in a control buffer of runc's
// size. Whatever else comes is closed, and an error.
func (c *Conn) receiveOne(ctx context.Context, p []byte) (n, fd int, err error) {
	if err := c.usable(); err != nil {
		return 0, -1, err
	}
	k := newCall(c)
	defer k.put()
	if err := k.receive(ctx, p, sys.PairRoom); err != nil {
		return 0, -1, err
	}
	n = k.msg.N
	switch {
	case k.isEnd():
		err = io.EOF
	case !k.cut() && k.msg.NFD == 1:
		return n, int(k.fds[0]), nil
	case k.cut():
		err = &TruncatedError{N: n, Cause: k.cause}
	case k.msg.NFD > 1:
		err = &TruncatedError{N: n, Cause: sys.EMSGSIZE}
	default:
		err = ErrNoFile
	}
	k.closeReceived()
	return n, -1, err
}
