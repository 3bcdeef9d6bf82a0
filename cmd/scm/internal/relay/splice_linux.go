package relay

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// spliceSize is the number of bytes from which a pump uses a pipe.
const spliceSize = 32 << 10

// A pipe moves bytes from socket to socket without copying them. Without it, a relay is slower than one that does not peek,
// because a peek copies the bytes, too.
type pipe struct {
	opened bool
	r, w   int // -1 without a pipe
}

// canSplice reports whether the pump can use its pipe for the bytes that it has peeked at. The kernel adds the credentials of
// the relay to them. Before Linux 6.5, it could also add the bytes to the message before them. So the pump does not use the
// pipe directly after a message with descriptors, because a receive must not return more bytes with them than were sent.
func (p *pump) canSplice(size int, cred *unix.Ucred) bool {
	sameUser := cred == nil || p.identity == own || int(cred.Uid) == os.Geteuid() && int(cred.Gid) == os.Getegid()
	return size >= spliceSize && p.change == nil && !p.sentFDs && sameUser && p.pipe.open()
}

// open creates the pipe, and reports whether there is one.
func (p *pipe) open() bool {
	if !p.opened {
		p.opened, p.r, p.w = true, -1, -1
		var fds [2]int
		if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) == nil {
			p.r, p.w = fds[0], fds[1]
			_, _ = unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pieceSize)
		}
	}
	return p.r >= 0
}

func (p *pipe) close() {
	if p.opened && p.r >= 0 {
		closeAll([]int{p.r, p.w})
	}
}

// splice passes n bytes on.
func (p *pump) splice(n int) error {
	for n > 0 {
		filled, err := move(p.from.Read, func(fd int) (int, error) { return splice(fd, p.pipe.w, n) })
		if err != nil {
			return err
		}
		n -= filled
		for filled > 0 {
			sent, err := move(p.to.Write, func(fd int) (int, error) { return splice(p.pipe.r, fd, filled) })
			if err != nil {
				return err
			}
			filled -= sent
		}
	}
	return nil
}

func splice(from, to, n int) (int, error) {
	moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_NONBLOCK)
	return int(moved), err
}

// move calls a function that moves bytes until it can, and returns how many bytes it has moved.
func move(wait func(func(fd uintptr) bool) error, call func(fd int) (int, error)) (moved int, err error) {
	waitErr := wait(func(fd uintptr) bool {
		moved, err = call(int(fd))
		for err == unix.EINTR {
			moved, err = call(int(fd))
		}
		return err != unix.EAGAIN
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case err == unix.ECONNRESET:
		return 0, unix.EPIPE
	case err == nil && moved == 0:
		return 0, io.ErrUnexpectedEOF
	}
	return moved, os.NewSyscallError("splice", err)
}
