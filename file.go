package scm

import (
	"os"
	"syscall"

	"github.com/scm-rights/scm/internal/received"
	"github.com/scm-rights/scm/internal/sys"
)

// NewFile returns an [os.File] for the received descriptor fd and takes ownership of fd, which it may renumber: do
// not pass the program's own standard output or error. On error fd is unchanged and still belongs to the caller.
//
// Use it instead of [os.NewFile], with which a sender can stop the whole process. Files that NewFile keeps out of
// the runtime's poller have no deadlines, and if O_NONBLOCK is set, a Read that would wait fails with EAGAIN
// (docs/pitfalls.md).
func NewFile(fd int, name string) (*os.File, error) {
	fd = narrow(fd)
	return newFile(fd, name, func() error { return sys.CloseOnExec(fd) })
}

// receivedFile is NewFile for a descriptor that is close-on-exec.
func receivedFile(fd int, name string) (*os.File, error) {
	return newFile(fd, name, func() error { return nil })
}

// newFile calls setFlags last, so that fd is unchanged on error.
func newFile(fd int, name string, setFlags func() error) (*os.File, error) {
	if sys.HasPoll(fd) && !sys.Pollable(fd) {
		return unpolledFile(fd, name)
	}
	if err := sys.StartPoller(fd); err != nil {
		return nil, err
	}
	if fd == 1 || fd == 2 { // a file of package os would raise SIGPIPE for EPIPE
		own, err := sys.Dup(fd, 3)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		moved(fd, own)
		fd = own
	} else if err := setFlags(); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// moved closes the received descriptor fd, which own replaces.
func moved(fd, own int) {
	if received.On() {
		received.FD(int32(own))
	}
	sys.Close(fd)
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
	moved(fd, own)
	return f, nil
}

// makeFiles creates files from received descriptors, and takes ownership of the descriptors. If it cannot
// create one of the files, it closes that descriptor and all after it, and returns the files before it
// along with the error, so that each file has the index that the sender gave it.
func makeFiles(fds []int) (files []*os.File, err error) {
	if len(fds) == 0 {
		return nil, nil
	}
	files = make([]*os.File, 0, len(fds))
	for i, fd := range fds {
		f, err := receivedFile(fd, "received")
		if err != nil {
			CloseFDs(fds[i:]...)
			if i == 0 {
				files = nil
			}
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// CloseFDs closes descriptors with close(2). It ignores negative values and errors.
func CloseFDs(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			sys.Close(narrow(fd))
		}
	}
}

// Nonblock reports whether O_NONBLOCK is set on f, as it often is in Go programs (docs/pitfalls.md).
func Nonblock(f syscall.Conn) (bool, error) {
	raw, err := rawConn("file", f)
	if err != nil {
		return false, err
	}
	var on bool
	err = sys.Control(raw, func(fd int) error {
		on, err = sys.Nonblock(fd)
		return err
	})
	return on, err
}

// SetNonblock sets or clears O_NONBLOCK on f, for every process that shares the file. Clear it for a partner
// that expects calls on the file to block. Calls here then block a thread and have no deadline. If it is set
// on an [os.File] that was created without it, calls fail with EAGAIN, so create a new file with [NewFile].
func SetNonblock(f syscall.Conn, on bool) error {
	raw, err := rawConn("file", f)
	if err != nil {
		return err
	}
	return sys.Control(raw, func(fd int) error { return sys.SetNonblock(fd, on) })
}

// rawConn returns c.SyscallConn, or an error if c or its RawConn is nil. what names c in the error.
func rawConn(what string, c syscall.Conn) (syscall.RawConn, error) {
	if err := checkPresent(what, c); err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if raw == nil && err == nil {
		err = sys.Error("scm: "+what+" has no descriptor", os.ErrInvalid)
	}
	return raw, err
}
