package scm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/received"
	"github.com/scm-rights/scm/internal/sys"
)

// nameBytes is the size of runc's buffer for a file's name. A name must be shorter.
const nameBytes = 4096

// SendFile sends f and a name for it in runc's format: one descriptor, and the bytes of the name without a
// terminator. f stays open and still belongs to the caller. On a stream the name must not be empty, and a
// name that is longer than the socket's buffer arrives in pieces: use "unixpacket" for such names.
//
// If the name is 4096 bytes or longer, the error wraps ENAMETOOLONG. Other errors are those of WriteFiles.
// If errors.Is(err, io.ErrShortWrite) is true, SendFile sent the file but only part of the name.
func (c *Conn) SendFile(name string, f *os.File) error {
	if len(name) >= nameBytes {
		return c.fail("write", sys.ENAMETOOLONG)
	}
	return c.fail("write", c.sendOne([]byte(name), f))
}

// RecvFile receives one file and its name, as runc, conmon and crun send them, without the NUL that conmon
// sends at the end of the name. The caller must close the file. RecvFile creates the file as [NewFile]
// does. NewFile documents which files have deadlines and which can fail with EAGAIN. The file's name is
// exactly the bytes that the sender chose, and the file's errors contain it: print both with %q.
//
// RecvFile rejects a message with no descriptor (ErrNoFile), with more than one descriptor or with other
// control data (a [*TruncatedError]), with a descriptor that does not match [Config].Expect (an
// [*ExpectError]), or with 4096 bytes or more (ENAMETOOLONG). It closes the descriptors of a message that
// it rejects, and discards the bytes: use [Conn.ReadFiles] if the partner may send a reason instead of a
// file. At the end of the connection the error is [io.EOF]. If Expect requires more than one file,
// the error wraps EINVAL, and nothing is received. Other errors are those of [Conn].
func (c *Conn) RecvFile() (*os.File, error) {
	p := make([]byte, nameBytes)
	n, fd, err := c.receiveOne(p)
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

// NewFile returns an [os.File] for the received descriptor fd and takes ownership of the descriptor. On
// success the file owns it. The descriptor is close-on-exec and may have been renumbered. On error fd stays
// open and still belongs to the caller. The error wraps the errno: EBADF if fd is not open, EMFILE, ENFILE,
// …
//
// Use NewFile instead of [os.NewFile], which puts every file with O_NONBLOCK set into the runtime's poller.
// The poller asks a file whether it is ready, and the whole process stops until the file answers. A sender
// can delay that answer indefinitely if it is the file's server (FUSE), or if it has passed an epoll and
// keeps it locked.
//
// On Linux, NewFile puts a file with O_NONBLOCK set into the poller if the file is a pipe, a socket of
// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK or AF_PACKET, an eventfd, a timerfd, a signalfd, an inotify
// descriptor, a pidfd or a terminal (/dev/tty, /dev/console or a pseudoterminal). A Read then waits until
// the file is ready, and a deadline or Close ends the wait. NewFile recognizes the five kinds from eventfd
// to pidfd by their names in /proc. They stay out of the poller if /proc is not mounted. On other systems
// only pipes and sockets enter the poller.
//
// Terminals are an exception to the rule that no single received file can stop the process: a partner that
// shares the terminal can stop it for five seconds at a time, and can repeat this indefinitely. An [Expect]
// that sets any Kind other than [KindCharDevice] rejects terminals. Once no process has a terminal open, a
// Read of its master returns EIO instead of [io.EOF].
//
// All other files stay out of the poller: those without O_NONBLOCK, such as the terminals that runc and
// crun send, and FUSE and CUSE files, epolls, vsock sockets and other devices, such as serial lines and
// virtual consoles. They have no deadlines ([os.ErrNoDeadline]). If O_NONBLOCK is clear, a Read or Write
// that waits blocks a thread, and Close does not interrupt it. If O_NONBLOCK is set, a Read or Write that
// would wait fails with EAGAIN: clear the flag with [SetNonblock], which clears it for the sender too. To
// get deadlines for a blocking pipe, socket or terminal, set O_NONBLOCK on fd before the call.
//
// On Linux, NewFile makes one more epoll_ctl(2) call than os.NewFile does. For a file that has a poll
// method, it then makes one to three system calls to identify the file. If such a file may not enter the
// poller, NewFile renumbers it: closing its first descriptor can wait, and removes the process's
// fcntl(F_SETLK) locks on the file.
func NewFile(fd int, name string) (*os.File, error) {
	fd = int(toInt32(fd))
	if err := sys.CloseOnExec(fd); err != nil {
		return nil, err
	}
	return newFile(fd, name)
}

func newFile(fd int, name string) (*os.File, error) {
	if sys.HasPoll(fd) && !sys.Pollable(fd) {
		return unpolledFile(fd, name)
	}
	if err := sys.StartPoller(fd); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// unpolledFile is NewFile for a file that must stay out of the poller. Package os checks O_NONBLOCK once,
// in os.NewFile. unpolledFile therefore calls it with a descriptor for another file, without O_NONBLOCK,
// and then makes that descriptor refer to fd's file.
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
	if received.On() {
		received.FD(int32(own))
	}
	sys.Close(fd)
	return f, nil
}

// sendOne sends p and one descriptor.
func (c *Conn) sendOne(p []byte, f syscall.Conn) error {
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
	k := newCall(c, true)
	defer k.put()
	k.files, k.bufs = append(k.files, raw), append(k.bufs, p)
	err = k.send()
	if err != nil && k.sent > 0 {
		return &partError{k.sent, len(p), err}
	}
	return err
}

// A partError means that a stream accepted only part of a name. The first byte carried the file.
type partError struct {
	sent, length int
	err          error
}

func (e *partError) Error() string {
	return fmt.Sprintf("sent the file but only %d of %d bytes of its name: %v", e.sent, e.length, e.err)
}

func (e *partError) Unwrap() []error { return []error{io.ErrShortWrite, e.err} }

// Timeout implements net.Error. net.OpError calls it.
func (e *partError) Timeout() bool { return os.IsTimeout(e.err) }

// receiveOne receives exactly one descriptor that matches Config.Expect, with a control buffer of runc's
// size. It closes the descriptors of any other message, and returns an error.
func (c *Conn) receiveOne(p []byte) (n, fd int, err error) {
	if err := c.usable(); err != nil {
		return 0, -1, err
	}
	if err := c.config.checkCapacity(1); err != nil {
		return 0, -1, err
	}
	k := newCall(c, false)
	defer k.put()
	k.bufs = append(k.bufs, p)
	if err := k.receive(sys.PairRoom); err != nil {
		return 0, -1, err
	}
	a := k.arrival()
	switch {
	case a.isEnd(c.network):
		err = io.EOF
	case !a.lostFDs() && a.nfd == 1:
		err := k.enforce()
		return a.n, k.msg.FDs[0], err // -1 on error
	case !a.lostFDs() && a.nfd == 0:
		err = ErrNoFile
	default:
		lost := a.truncated(1, k.cause)
		if a.nfd > 1 {
			lost.Cause = sys.EMSGSIZE
		}
		err = lost
	}
	sys.CloseAll(k.received())
	return a.n, -1, err
}
