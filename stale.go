package scm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

var (
	errLive      = sys.Error("a live socket has this name", ErrInUse)
	errNotSocket = sys.Error("exists and is not a socket", ErrInUse)
	errUnknown   = sys.Error("its file system does not tell a live socket from a stale one: remove the file if it is stale", ErrInUse)
	errReplaced  = sys.Error("the new socket file was replaced", syscall.EEXIST)
)

// socketFile is the file of a socket that we bound. Its number cannot be another file's while
// the socket is open. nil is no file.
type socketFile struct {
	path string // absolute
	info fs.FileInfo

	mu   sync.Mutex
	kept bool
}

// newSocketFile looks at the file that bind(2) just made, and gives it the permissions that the
// umask took from it. It follows no link.
func newSocketFile(path string, mode fs.FileMode) (*socketFile, error) {
	f := &socketFile{path: path}
	if !filepath.IsAbs(path) {
		here, err := syscall.Getwd() // os.Getwd's can be a link, which leads elsewhere by the time of Close
		if err != nil {
			return nil, os.NewSyscallError("getcwd", err)
		}
		f.path = here + "/" + path // not cleaned: what stands before ".." can be a link
	}
	var err error
	if f.info, err = os.Lstat(f.path); err != nil {
		return nil, err
	}
	if f.info.Mode().Type() != fs.ModeSocket {
		return nil, errReplaced
	}
	if mode != 0 && f.info.Mode().Perm() != mode {
		err = sys.ChmodSocket(f.path, f.info, uint32(mode))
	}
	if err != nil {
		_ = f.remove()
		return nil, err
	}
	return f, nil
}

// keep sets whether remove leaves the file alone.
func (f *socketFile) keep(kept bool) {
	if f != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.kept = kept
	}
}

// remove removes the file once, if it is still ours. The socket must be open yet. Package net
// would remove it by name, though it is a newer socket's by now.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept {
		return nil
	}
	f.kept = true
	now, err := os.Lstat(f.path)
	if err == nil && os.SameFile(now, f.info) {
		err = os.Remove(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeStale removes the file at path if it is a socket file of which no process has the
// socket open. Where there is none it does nothing. name is a short name for path.
func removeStale(path, name string) error {
	info, release, err := sys.HoldFile(path)
	if err != nil {
		return inUse(err)
	}
	defer release()
	if info.Mode().Type() != fs.ModeSocket {
		return errNotSocket
	}
	// Linux holds the folder locked from the moment in which bind(2) makes the file until
	// connect(2) finds the socket: a rename to itself waits for that, and changes nothing.
	_ = os.Rename(path, path)
	// A datagram socket asks: what listens gets no connection of it.
	c, err := net.DialUnix("unixgram", nil, unixAddr("unixgram", name))
	switch {
	case err == nil:
		_ = c.Close()
		return errLive
	case sys.OtherType(err):
		return errLive
	case !sys.Refused(err):
		return inUse(cause(err))
	case sys.Shared(path):
		return errUnknown
	}
	now, err := os.Lstat(path)
	if err == nil && !os.SameFile(now, info) {
		return errLive
	}
	if err == nil {
		err = os.Remove(path)
	}
	return inUse(err)
}

// inUse is the error of a path of which err keeps it from being known whether it is stale.
func inUse(err error) error {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case sys.TableFull(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrInUse, err)
}

// lockPatience is how long Listen waits for the lock of a folder. Who has it to look at a
// stale file needs it for some system calls; but whoever may open the folder can keep it.
const lockPatience = 200 * time.Millisecond

// lockFolder locks the folder of path. After lockPatience it goes on without the lock, and so
// it does in a folder that the user may not read. Errors are ctx's, and those of open(2).
func lockFolder(ctx context.Context, path string) (unlock func(), err error) {
	dir, _ := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	folder, err := os.Open(dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	unlock = func() { _ = folder.Close() }
	for end := time.Now().Add(lockPatience); sys.Again(sys.Lock(int(folder.Fd()))) && time.Now().Before(end); {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}
