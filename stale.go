package scm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// bindOverStale binds fd to a path at which there is a file, if that is a socket
// file of which nobody has the socket open. Otherwise, or where it cannot be told,
// it is ErrInUse.
//
// Between the look at a file and its removal another one could be there. So the
// folder is locked (flock(2)): of all who come by way of this function only one is
// at work in it, and nobody can bind as long as there is a file.
func bindOverStale(ctx context.Context, fd int, path string) error {
	unlock, err := lockFolder(ctx, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	defer unlock()
	alive, err := isAlive(path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrInUse, err)
	case alive:
		return ErrInUse
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	err = withName(path, func(name string) error { return sysBind(fd, name) })
	if sysInUse(err) {
		return ErrInUse
	}
	return err
}

// isAlive tells whether somebody has the socket of a socket file open, or
// whether it is no socket file. It asks by way of a datagram socket: so what
// listens, or is about to, gets no connection of it.
func isAlive(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return true, nil
	}
	fd, err := sysSocket("unixgram")
	if err != nil {
		return false, err
	}
	defer sysClose(fd)
	err = withName(path, func(name string) error { return sysConnect(fd, name) })
	switch {
	case sysRefused(err):
		return false, nil
	case err == nil || sysOtherType(err):
		return true, nil
	}
	return false, err
}

// lockFolder waits until it has the folder's lock, or ctx is done.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err = sysLock(f)
		if !sysAgain(err) {
			break
		}
		if err = wait(ctx, pause); err != nil {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// wait waits for what gives no sign.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
