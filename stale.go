package scm

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	errNotSocket = sys.Error("the file exists and is not a socket", ErrInUse)
	errUnknown   = sys.Error("cannot determine on this file system whether the socket is in use: remove the file if it is stale", ErrInUse)
	errReplaced  = sys.Error("another process replaced the new socket file", syscall.EEXIST)
)

// socketFile is the file of a socket that this package bound. While the socket is open, no other file can
// have its inode number. A nil socketFile is valid and means that there is no file.
type socketFile struct {
	socket syscall.RawConn
	names  []string // at first, each of them leads to the file or to none
	info   fs.FileInfo
	theirs *net.UnixListener // which removes the file itself, or nil

	mu      sync.Mutex
	keeping map[any]bool // the Conns and Listeners of the socket that leave the file in place
	sends   int          // calls that send the socket
	removed bool
}

// newSocketFile examines the file that bind(2) has just created for s or, if received is not nil, the file of a
// socket from another process. It does not follow a symbolic link at path.
func newSocketFile(path string, s netSocket, received *sys.FileID) (*socketFile, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeSocket || received != nil && *received != sys.FileIDOf(info, nil) {
		return nil, errReplaced
	}
	return &socketFile{socket: raw, names: names(path), info: info, keeping: map[any]bool{}}, nil
}

// names returns path and, if it is relative, the absolute path, which still leads to the file after the
// working directory has changed. The absolute path alone is not enough: the process may not be allowed to
// search a directory above the working directory, and the path may be too long.
func names(path string) []string {
	if filepath.IsAbs(path) {
		return []string{path}
	}
	wd, err := syscall.Getwd() // os.Getwd can return a symbolic link, which may lead elsewhere when Close runs
	if err != nil {
		return []string{path}
	}
	return []string{path, wd + "/" + path} // not cleaned, because the element before ".." can be a symbolic link
}

// replyName makes a relative path absolute, so that a process in another directory can reply to it. If the result is
// too long, or does not lead to the directory of path, replyName returns path.
func replyName(path string) string {
	if isAbstract(path) || filepath.IsAbs(path) {
		return path
	}
	all := names(path)
	last := all[len(all)-1]
	dir, _ := filepath.Split(path)
	there, _ := filepath.Split(last)
	want, _ := os.Stat("./" + dir)
	if found, err := os.Stat(there); err != nil || !os.SameFile(found, want) || len(last) > sys.MaxName {
		return path
	}
	return last
}

// setMode adds the permissions in mode that the umask removed.
func (f *socketFile) setMode(mode fs.FileMode) error {
	if mode == 0 || f.info.Mode().Perm() == mode {
		return nil
	}
	return sys.ChmodSocket(f.names[0], f.info, uint32(mode))
}

// keep sets whether owner, a Conn or Listener of the socket, leaves the file in place. If one of them does, it stays.
func (f *socketFile) keep(owner any, kept bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keeping[owner] = true
	if !kept {
		delete(f.keeping, owner)
	}
	if f.theirs != nil {
		unlinkOnClose(f.theirs, len(f.keeping) == 0)
	}
}

// unlinkOnClose calls the SetUnlinkOnClose method of a socket. Not every kind of socket has one, and some
// kinds have it only on some systems.
func unlinkOnClose(socket any, unlink bool) {
	if owner, ok := socket.(interface{ SetUnlinkOnClose(bool) }); ok {
		owner.SetUnlinkOnClose(unlink)
	}
}

// startSend makes remove leave the file in place until the caller calls endSend.
func (f *socketFile) startSend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sends++
}

func (f *socketFile) endSend(owner any, sent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sends--
	if sent {
		f.keeping[owner] = true
	}
}

// remove removes the file once, unless another file has replaced it. If the socket is closed, remove leaves
// the file, because a newer socket's file can have the same inode number. Package net would remove the file
// by name, even if it now belongs to a newer socket.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.theirs != nil { // package net would also remove another socket's file
		if now, err := os.Lstat(f.names[0]); err == nil && !os.SameFile(now, f.info) {
			unlinkOnClose(f.theirs, false)
		}
		return nil
	}
	if len(f.keeping) > 0 || f.sends > 0 || f.removed {
		return nil
	}
	err := sys.Control(f.socket, func(int) (err error) { // the socket stays open during the call
		f.removed = true
		for _, name := range f.names {
			var now fs.FileInfo
			if now, err = os.Lstat(name); err == nil && os.SameFile(now, f.info) {
				return os.Remove(name)
			}
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// afterBind reports whether err, from package net, means that bind(2) created a file and a later step failed:
// listen(2), or the poller, whose error is a bare errno. Package net closes the socket, but leaves the file.
func afterBind(err error) bool {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Syscall == "listen"
	}
	op, ok := err.(*net.OpError)
	return ok && sys.IsErrno(op.Err)
}

// removeStale locks the directory of path, and removes the file if it is a socket file and no process has
// the socket open. It does nothing if no file exists. name is a short name for path. The caller must call
// unlock if err is nil.
func removeStale(ctx context.Context, path, name string) (unlock func(), err error) {
	unlock, err = lockDir(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := removeIfStale(path, name); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

func removeIfStale(path, name string) error {
	info, release, err := sys.HoldFile(path)
	if err != nil {
		return inUse(err)
	}
	defer release()
	if info.Mode().Type() != fs.ModeSocket {
		return errNotSocket
	}
	// Linux locks the directory from the time bind(2) creates the file until connect(2) can find the
	// socket. Renaming the file to itself waits for that lock, and changes nothing.
	_ = os.Rename(path, path)
	// The probe is a datagram socket, so that a process that listens on the path never accepts a connection from it.
	c, err := net.DialUnix("unixgram", nil, unixAddr("unixgram", name))
	switch {
	case err == nil:
		_ = c.Close()
		return sys.ErrLive
	case sys.OtherType(err):
		return sys.ErrLive
	case !sys.Refused(err):
		return inUse(withoutOp(err))
	case sys.Shared(path):
		return errUnknown
	}
	now, err := os.Lstat(path)
	if err == nil && !os.SameFile(now, info) {
		return sys.ErrLive
	}
	if err == nil {
		err = os.Remove(path)
	}
	return inUse(err)
}

// inUse returns the error for a path if err prevented the check whether the file is stale.
func inUse(err error) error {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case sys.TableFull(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrInUse, err)
}

// lockTimeout is how long Listen waits for the lock on a directory. Another Listen holds the lock only for
// a few system calls, but any process that can open the directory can hold it longer.
const lockTimeout = 200 * time.Millisecond

// lockDir locks the directory of path. After lockTimeout, or if the user may not read the directory, it
// returns without holding the lock. The error is either ctx.Err() or the error of open(2).
func lockDir(ctx context.Context, path string) (unlock func(), err error) {
	name, _ := filepath.Split(path)
	if name == "" {
		name = "."
	}
	dir, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	unlock = func() { _ = dir.Close() }
	for end := time.Now().Add(lockTimeout); sys.Again(sys.Lock(int(dir.Fd()))) && time.Now().Before(end); {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// netSocket is a Listener's or Conn's socket, as package net returns it.
type netSocket interface {
	io.Closer
	syscall.Conn
}

// sleep waits for pause. If ctx is done by then, it returns ctx's error.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ctx.Err() // after a pause of the process, both can be ready
	}
}
