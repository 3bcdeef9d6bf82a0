package process

import (
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/scm-rights/scm/interop/witness"
	"golang.org/x/sys/unix"
)

// An output reads what a program writes, and reports whether all of it was heard. heard is
// locked from before bytes leave the pipe until Read is called again: by then the lines in
// them are in Answers.
type output struct {
	conn  syscall.RawConn
	heard sync.Mutex
	held  bool // by the reader
}

func newOutput(pipe *os.File) (*output, error) {
	conn, err := pipe.SyscallConn()
	return &output{conn: conn}, err
}

// Read is for one goroutine.
func (o *output) Read(p []byte) (n int, err error) {
	if o.held {
		o.held = false
		o.heard.Unlock()
	}
	e := o.conn.Read(func(fd uintptr) bool {
		o.heard.Lock()
		for {
			if n, err = unix.Read(int(fd), p); err != unix.EINTR {
				break
			}
		}
		o.held = err != unix.EAGAIN
		if !o.held {
			o.heard.Unlock()
		}
		return o.held
	})
	switch {
	case e != nil:
		return 0, e
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// isHeard reports whether every line that was written is in Answers.
func (o *output) isHeard() (bool, error) {
	if !o.heard.TryLock() {
		return false, nil
	}
	defer o.heard.Unlock()
	n, err := unread(o.conn)
	return n == 0, err
}

// unread returns how many bytes lie in a pipe.
func unread(pipe syscall.RawConn) (int, error) {
	return witness.InTime(func() (n int, err error) { // the peer can lock the pipe
		if e := pipe.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); e != nil {
			return 0, e
		}
		return n, err
	})
}
