package scm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// ErrInUse is returned by Listen and ListenPacket for a name that a socket has,
// and for a path at which there is something other than a stale socket file. It
// wraps EADDRINUSE.
var ErrInUse = sys.Error("scm: the address is in use", sys.EADDRINUSE)

// bind makes a socket and gives it the name addr. If that is a path, the file has
// its permissions before anyone can connect, and bound is who made it.
func (config Config) bind(ctx context.Context, network, addr string) (fd int, bound *boundFile, err error) {
	if err := ctx.Err(); err != nil {
		return -1, nil, err
	}
	fd, err = sys.Socket(network, true)
	if err != nil {
		return -1, nil, err
	}
	if config.NoFiles {
		err = PassRights(fd, false)
	}
	if err == nil && config.Mode != 0 {
		err = config.restrict(fd, network, addr)
	}
	if err == nil {
		bound, err = config.bindName(ctx, fd, addr)
	}
	if err != nil {
		sys.Close(fd)
		return -1, nil, err
	}
	return fd, bound, nil
}

// restrict sees to it that the file to come will not have more permissions than
// it should.
func (config Config) restrict(fd int, network, addr string) error {
	if config.Mode&^fs.ModePerm != 0 || isAbstract(addr) {
		return fmt.Errorf("mode %v for %q: %w", config.Mode, addr, syscall.EINVAL)
	}
	return sys.Restrict(fd, network, config.Mode)
}

// bindName binds fd to addr. If that is a path, bound is the file, and it may take
// the place of a stale socket file.
func (config Config) bindName(ctx context.Context, fd int, addr string) (bound *boundFile, err error) {
	if isAbstract(addr) {
		err = withName(addr, func(name string) error { return sys.Bind(fd, name) })
		if sys.InUse(err) {
			err = ErrInUse
		}
		return nil, err
	}
	p, err := openPlace(addr)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	bound, err = config.bindFresh(fd, p)
	if sys.InUse(err) {
		return config.bindOverStale(ctx, fd, p)
	}
	return bound, err
}

// bindFresh binds fd where there is no file yet.
//
// Whoever may write to the folder can put something else in the file's place as
// soon as bind has returned. So the look at it follows no link, and what is no
// socket is left alone: it is an error, as is a file that cannot be looked at, and a
// socket of which the kernel says that it is another one.
func (config Config) bindFresh(fd int, p *place) (*boundFile, error) {
	// The path could lead to another folder by now than to the one that is open.
	// A file that is there before bind is not the one that bind made.
	if _, err := p.Look(p.base); err == nil {
		return nil, sys.EADDRINUSE
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := p.withName(p.base, func(name string) error { return sys.Bind(fd, name) }); err != nil {
		return nil, err
	}
	info, err := p.Look(p.base)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the new socket file: %w", err)
	case !info.IsSocket():
		return nil, sys.ErrReplaced
	}
	bound := &boundFile{path: p.absolute(), folder: p.Info, base: p.base, info: info}
	changes := config.Mode != 0 && info.Perm() != config.Mode
	way := ""
	if changes {
		way = p.dir
	}
	err = p.Verify(fd, info, way)
	switch unverified := errors.Is(err, sys.ErrUnverified); {
	case unverified && changes:
		err = fmt.Errorf("the umask takes permissions from mode %v: %w", config.Mode, err)
	case unverified:
		err = nil
	case err == nil && changes:
		err = p.Chmod(p.base, info, config.Mode)
	}
	if err == nil {
		return bound, nil
	}
	if !errors.Is(err, sys.ErrReplaced) {
		_ = bound.remove()
	}
	return nil, err
}

// boundFile is the socket file of a socket that we bound. Its number cannot be
// another file's while the socket is open. nil is no file.
type boundFile struct {
	path   string       // of the folder, absolute
	folder sys.FileInfo // which may not be what the path leads to later
	base   string
	info   sys.FileInfo

	mu      sync.Mutex
	kept    bool
	removed bool
}

// keep sets whether remove leaves the file alone.
func (b *boundFile) keep(kept bool) {
	if b != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.kept = kept
	}
}

// handOver calls send, one system call that sends the socket, and keeps the file if
// that succeeds. Once remove has begun it is an error, and nothing is sent.
func (b *boundFile) handOver(send func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.removed {
		return &fileError{0, os.ErrClosed} // not net.ErrClosed: the Conn that sends is open
	}
	err := send()
	if err == nil {
		b.kept = true
	}
	return err
}

// beginRemoval returns false if the file is kept. The lock is not held during the
// removal: the folder's file system may not answer.
func (b *boundFile) beginRemoval() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.removed = !b.kept
	return b.removed
}

// remove removes the file if it is still ours, and in the folder in which it was
// made. The socket must be open yet.
func (b *boundFile) remove() error {
	if b == nil {
		return nil
	}
	if !b.beginRemoval() {
		return nil
	}
	err := sys.InFolder(b.path, func(f sys.Folder) error {
		if !f.Info.Same(b.folder) {
			return nil
		}
		now, err := f.Look(b.base)
		if err != nil || !now.Same(b.info) {
			return err
		}
		return f.Remove(b.base)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// place is where a socket file is, or is to be: a folder, which is open, and the
// name in it.
type place struct {
	sys.Folder
	path string // as it was given
	dir  string // the folder in it, with the slash at its end, or ""
	base string
}

// openPlace opens a path's folder. The path is taken as it is: what stands before
// ".." can be a link.
func openPlace(path string) (*place, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	p := &place{path: path}
	p.dir, p.base = filepath.Split(path)
	dir := p.dir
	if dir == "" {
		dir = "."
	}
	var err error
	p.Folder, err = sys.OpenFolder(dir)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return p, nil
}

// absolute is the folder's path, with a slash at its end. Where the working folder
// has no name it is the relative one.
func (p *place) absolute() string {
	if filepath.IsAbs(p.dir) {
		return p.dir
	}
	here, err := syscall.Getwd() // os.Getwd prefers $PWD, which can be a way through links
	if err != nil {
		return p.dir
	}
	return here + "/" + p.dir
}
