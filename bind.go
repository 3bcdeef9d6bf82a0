package scm

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// ErrInUse is returned by Listen and ListenPacket for a name that a socket has,
// and for a path at which there is something other than a stale socket file. It
// wraps EADDRINUSE.
var ErrInUse error = &limitError{"scm: the address is in use", errnoInUse}

// bind makes a socket and gives it the name addr. If that is a path, the file has
// its permissions before anyone can connect, and bound is who made it.
func (config Config) bind(ctx context.Context, network, addr string) (fd int, bound *boundFile, err error) {
	if err := ctx.Err(); err != nil {
		return -1, nil, err
	}
	fd, err = sysSocket(network)
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
		err = bindFresh(ctx, fd, addr)
	}
	if err == nil && !isAbstract(addr) {
		bound, err = newBoundFile(addr)
		if err != nil {
			// It cannot be looked at, and is ours: nobody else could bind
			// there since.
			_ = os.Remove(addr)
		} else if config.Mode != 0 {
			// The umask may have taken more than was asked for.
			err = os.Chmod(bound.path, config.Mode)
		}
	}
	if err != nil {
		bound.remove()
		sysClose(fd)
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
	return sysRestrict(fd, network, config.Mode)
}

// bindFresh binds, if need be in the place of a stale socket file.
func bindFresh(ctx context.Context, fd int, addr string) error {
	err := withName(addr, func(name string) error { return sysBind(fd, name) })
	switch {
	case !sysInUse(err):
		return err
	case isAbstract(addr):
		return ErrInUse
	}
	return bindOverStale(ctx, fd, addr)
}

// boundFile is the socket file of a socket that we bound. Its number cannot be
// another file's while the socket is open. nil is no file.
type boundFile struct {
	path string
	info fs.FileInfo
	kept atomic.Bool
}

func newBoundFile(path string) (*boundFile, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(absolute)
	if err != nil {
		return nil, err
	}
	return &boundFile{path: absolute, info: info}, nil
}

// keep sets whether remove leaves the file alone.
func (b *boundFile) keep(kept bool) {
	if b != nil {
		b.kept.Store(kept)
	}
}

// remove removes the file if it is still ours. The socket must be open yet.
func (b *boundFile) remove() {
	if b == nil || b.kept.Load() {
		return
	}
	if now, err := os.Lstat(b.path); err == nil && os.SameFile(now, b.info) {
		_ = os.Remove(b.path)
	}
}
