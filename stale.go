package scm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/scm-rights/scm/internal/sys"
)

// lockPatience is how long Listen waits for the lock of a folder. Who has it to
// look at a stale file needs it for some system calls; but whoever may open the
// folder can take it, and keep it.
const lockPatience = 200 * time.Millisecond

// bindOverStale binds fd to a path at which there is a file, if that is a socket
// file of which nobody has the socket open. Otherwise, or where it cannot be known,
// it is ErrInUse; where no number is free to ask, the errno of that; and if ctx is done
// while another one has the folder's lock, ctx's error.
//
// Between the look at a file and its removal another one could be there: somebody
// else removed the stale file, and bound. Nobody can remove a file by its inode.
// So the file is renamed, looked at again, and removed only if it is the one that
// was stale, which it then is for ever. Another one is put back. That it has not
// its name for a moment is kept rare by a lock of the folder (flock(2)): of all who
// come by way of this function one is at work in it, but for those who have waited
// for lockPatience.
func (config Config) bindOverStale(ctx context.Context, fd int, p *place) (*boundFile, error) {
	unlock, err := p.lock(ctx)
	if done := ctx.Err(); err != nil && done != nil {
		return nil, done
	}
	if err != nil {
		return nil, inUse(err)
	}
	defer unlock()
	if err := p.removeStale(); err != nil {
		return nil, err
	}
	bound, err := config.bindFresh(fd, p)
	if sys.InUse(err) {
		err = ErrInUse
	}
	return bound, err
}

// removeStale removes the file if it is stale. Where there is none it does nothing.
func (p *place) removeStale() error {
	h, err := p.Hold(p.base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return inUse(err)
	}
	defer h.Close()
	p.Settle(p.base) // or a socket whose bind is not over is taken for stale
	alive, err := p.isAlive(h)
	switch {
	case err != nil:
		return inUse(err)
	case alive:
		return ErrInUse
	}
	err = p.removeOnly(h.Info)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return inUse(err)
	}
	return nil
}

// inUse is the error of a path of which err keeps it from being known whether it is stale.
func inUse(err error) error {
	if sys.TableFull(err) || errors.Is(err, ErrInUse) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInUse, err)
}

// isAlive reports whether somebody has the socket of a socket file open, or
// whether it is no socket file. It is an error where the file system does not show
// that. It asks by way of a datagram socket: so what listens, or is about to, gets no
// connection of it.
func (p *place) isAlive(h sys.HeldFile) (bool, error) {
	if !h.Info.IsSocket() {
		return true, nil
	}
	fd, err := sys.Socket("unixgram", true)
	if err != nil {
		return false, err
	}
	defer sys.Close(fd)
	err = h.Connect(fd, func() error {
		return p.withName(p.base, func(name string) error { return sys.Connect(fd, name) })
	})
	switch {
	case sys.Refused(err):
		return false, h.OnlyHere()
	case err == nil || sys.OtherType(err):
		return true, nil
	}
	return false, err
}

// removeOnly removes the file if it is the one of info. Otherwise, or if it cannot
// be removed, it is where it was.
func (p *place) removeOnly(info sys.FileInfo) error {
	now, err := p.Look(p.base)
	if err != nil {
		return err
	}
	if !now.Same(info) {
		return ErrInUse
	}
	return p.removeAside(info)
}

// removeAside renames the file, whichever it is by now, and removes it only if it is
// the one of info. If another one cannot be put back, the error has the name that it has
// now.
func (p *place) removeAside(info sys.FileInfo) error {
	aside := ".scm-" + strconv.FormatUint(rand.Uint64(), 36)
	if err := p.Rename(p.base, aside); err != nil {
		return err
	}
	now, err := p.Look(aside)
	if err == nil && !now.Same(info) {
		err = ErrInUse
	}
	if err == nil {
		err = p.Remove(aside)
	}
	if err == nil {
		return nil
	}
	if left := p.PutBack(aside, p.base); left != nil {
		err = errors.Join(err, fmt.Errorf("the file that was there is now %s: %w", aside, left))
	}
	return err
}

// lock waits until it has the folder's lock, or ctx is done, which is an error. It
// does not wait for ever: after lockPatience there is no lock. Nor is there one of a
// folder that the user may not read.
func (p *place) lock(ctx context.Context) (unlock func(), err error) {
	fd, err := p.Lockable()
	if errors.Is(err, fs.ErrPermission) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(lockPatience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err = sys.Lock(fd)
		if !sys.Again(err) {
			break
		}
		left := time.Until(end)
		if left <= 0 {
			err = nil
			break
		}
		if err = sys.Sleep(ctx, min(pause, left)); err != nil {
			break
		}
	}
	if err != nil {
		sys.Close(fd)
		return nil, err
	}
	return func() { sys.Close(fd) }, nil
}
