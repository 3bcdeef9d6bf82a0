package scm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// nameBytes is the size of runc's buffer for a file's name. A name must be shorter.
const nameBytes = 4096

// SendFile sends f, which stays open, in runc's format: the payload is the name, without a terminator. On a stream, a
// long name can arrive in pieces, and an empty one is an error ([ErrEmptyPayload]): use "unixpacket". A name over 4095
// bytes fails (ENAMETOOLONG). After [io.ErrShortWrite], f and part of the name were sent: close the connection.
func (c *Conn) SendFile(name string, f *os.File) error {
	if len(name) >= nameBytes {
		return c.fail("write", sys.ENAMETOOLONG)
	}
	return c.fail("write", c.sendOne([]byte(name), "file", f))
}

// RecvFile receives one file and its name, as runc, conmon and crun send them. The caller must close the file. The
// partner chose the name: print it, and the file's errors, with %q. RecvFile rejects a message with no descriptor
// ([ErrNoFile]), more than one ([*TruncatedError]), or over 4095 bytes (ENAMETOOLONG). On a stream, the rest stays
// unread.
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
	f, err := receivedFile(fd, strings.TrimSuffix(string(p[:n]), "\x00"))
	if err != nil {
		sys.Close(fd)
		return nil, c.fail("read", err)
	}
	return f, nil
}

// sendOne sends p and the descriptor of f, which what names in errors.
func (c *Conn) sendOne(p []byte, what string, f syscall.Conn) error {
	if err := c.usable(); err != nil {
		return err
	}
	if len(p) == 0 && c.isStream() {
		return ErrEmptyPayload
	}
	raw, err := rawConn(what, f)
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
			lost.Cause = c.tooMany(1)
		}
		err = lost
	}
	CloseFDs(k.received()...)
	return a.n, -1, err
}
