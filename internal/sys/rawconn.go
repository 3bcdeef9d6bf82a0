package sys

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/msg"
)

// A FileID identifies the file of a socket while the socket is open, in decimal. It is zero if the file is not known.
type FileID struct {
	Device string `json:"device,omitempty"`
	Inode  string `json:"inode,omitempty"`
}

// An OwnedListener was received from another process, which left the socket file Path to this one. The kernel may know
// the file by another name. If Path is "", there is none. If Path does not lead to the file FileID, no file is removed.
// NoFiles makes the Conns reject descriptors, as that of scm.Config does, but does not set the socket option. Package
// scm's NewListener and NewConn accept these types.
type OwnedListener struct {
	*net.UnixListener
	Path string
	FileID
	NoFiles bool
}

// An OwnedConn is like an OwnedListener, for datagrams.
type OwnedConn struct {
	*net.UnixConn
	Path string
	FileID
	NoFiles bool
}

// Control calls f once with the descriptor of raw, which stays open during the call, and returns f's error.
// raw can be of the caller's own type: if its Control never calls f, the error is os.ErrInvalid.
func Control(raw syscall.RawConn, f func(fd int) error) (err error) {
	called := false
	closed := raw.Control(func(fd uintptr) {
		if !called {
			called = true
			err = f(int(msg.Number(int(fd))))
		}
	})
	switch {
	case called:
		return err
	case errors.Is(closed, net.ErrClosed):
		return net.ErrClosed
	case closed != nil: // package os does not export its error
		return os.ErrClosed
	}
	return os.ErrInvalid
}

// Hold calls f once with the descriptors of conns, which stay open during the call, and returns f's error
// and len(conns). If one of conns has no descriptor, it returns its index and the reason instead. That is
// os.ErrClosed even for a connection, because net.ErrClosed would say that the connection in use is closed.
func Hold[C syscall.Conn](conns []C, f func(fds []int) error) (index int, err error) {
	fds := make([]int, 0, len(conns))
	var hold func() error // calls of Control are nested, so that no other goroutine can close one of conns
	hold = func() error {
		if index = len(fds); index == len(conns) {
			return f(fds)
		}
		raw, err := conns[index].SyscallConn()
		if raw == nil && err == nil {
			err = os.ErrInvalid
		}
		if err != nil {
			return err
		}
		return Control(raw, func(fd int) error {
			fds = append(fds, fd)
			return hold()
		})
	}
	err = hold()
	if index < len(conns) && errors.Is(err, net.ErrClosed) {
		err = os.ErrClosed
	}
	return index, err
}
