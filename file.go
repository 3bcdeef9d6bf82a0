package scm

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrNoFile is returned for a message that should have brought a file, and came
// without a descriptor.
var ErrNoFile = errors.New("scm: a message came without a file")

// nameBytes is the room for a file's name, which is runc's: a name is shorter.
const nameBytes = 4096

// SendFile sends f and a name for it as runc does: one descriptor, and the bytes
// of the name without a terminator. f is an [os.File], a [net.TCPConn], a Conn or
// the like; it stays open and the caller's, whether the call succeeds or fails.
//
// Errors are those of WriteFiles, and ENAMETOOLONG for a name of 4096 bytes or
// more. On a stream the name must have a byte.
func (c *Conn) SendFile(name string, f syscall.Conn) error {
	if len(name) >= nameBytes {
		return c.fail("write", errnoNameTooLong)
	}
	return c.fail("write", c.sendOne(context.Background(), []byte(name), f))
}

// RecvFile receives one file and its name, as runc, conmon and crun send them.
// A NUL at the name's end, which conmon sends, is left out. The file is
// close-on-exec and the caller's to close.
//
// A message with no descriptor (ErrNoFile), with more than one or with other
// control data ([TruncatedError]), or with 4096 bytes or more (ENAMETOOLONG) is
// refused, and what came with it is closed. The end is [io.EOF].
func (c *Conn) RecvFile() (*os.File, error) {
	p := make([]byte, nameBytes)
	n, fd, err := c.receiveOne(context.Background(), p)
	if err == nil && n >= nameBytes {
		sysClose(fd)
		err = errnoNameTooLong
	}
	if err != nil {
		return nil, c.fail("read", err)
	}
	return os.NewFile(uintptr(fd), strings.TrimSuffix(string(p[:n]), "\x00")), nil
}

// sendOne sends p and one descriptor.
func (c *Conn) sendOne(ctx context.Context, p []byte, f syscall.Conn) error {
	if err := c.usable(); err != nil {
		return err
	}
	if len(p) == 0 && c.isStream() {
		return ErrEmptyPayload
	}
	raw, err := rawConn(f)
	if err != nil {
		return err
	}
	k := newCall(c)
	defer k.put()
	k.files = append(k.files, raw)
	return k.send(ctx, p)
}

// receiveOne receives exactly one descriptor, in a control buffer of runc's
// size. Whatever else comes is closed, and an error.
func (c *Conn) receiveOne(ctx context.Context, p []byte) (n, fd int, err error) {
	if err := c.usable(); err != nil {
		return 0, -1, err
	}
	k := newCall(c)
	defer k.put()
	if err := k.receive(ctx, p, sysPairRoom); err != nil {
		return 0, -1, err
	}
	n = k.msg.N
	switch {
	case !k.cut() && k.msg.NFD == 1:
		return n, int(k.fds[0]), nil
	case k.cut():
		err = &TruncatedError{N: n, Cause: k.cause}
	case k.msg.NFD > 1:
		err = &TruncatedError{N: n, Cause: errnoNoRoom}
	case n == 0 && !c.isDatagram():
		err = io.EOF
	default:
		err = ErrNoFile
	}
	k.closeReceived()
	return n, -1, err
}
