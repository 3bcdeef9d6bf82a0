package handover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

var createTemp = os.CreateTemp // another function in a test

// pidFileTime limits the wait for the file system of Config.PIDFile, which may not respond.
var pidFileTime = writeTime // shorter in a test

// A pidFile is the file Config.PIDFile.
type pidFile struct {
	path   string // or "", and then the methods do nothing
	logger *slog.Logger
	mu     sync.Mutex // held while a goroutine writes or removes the file
}

// change calls a function after all earlier changes. It waits until ctx is done, for at most pidFileTime. When it no
// longer waits, the context of apply is done, and apply must leave the file as it is.
func (f *pidFile) change(ctx context.Context, apply func(ctx context.Context) error) error {
	if f.path == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pidFileTime)
	defer cancel()
	changed := make(chan error, 1)
	go func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		changed <- apply(ctx)
	}()
	select {
	case err := <-changed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w, while waiting for the file system of the PID file", ctx.Err())
	}
}

// isOwn reports whether the file names this process.
func (f *pidFile) isOwn() (bool, error) {
	text, err := os.ReadFile(f.path)
	return strings.TrimSpace(string(text)) == strconv.Itoa(os.Getpid()), err
}

// write makes the file name this process. Readers see the old content or the new one.
func (f *pidFile) write(ctx context.Context) error { return f.change(ctx, f.replace) }

// restore is like write, but leaves the file as it is if it already names this process, which may no longer be able to
// write it.
func (f *pidFile) restore(ctx context.Context) error {
	return f.change(ctx, func(ctx context.Context) error {
		if own, _ := f.isOwn(); own {
			return nil
		}
		return f.replace(ctx)
	})
}

func (f *pidFile) replace(ctx context.Context) error {
	dir, name := filepath.Split(f.path)
	temp, err := createTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(temp, os.Getpid())
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close(), ctx.Err()); err == nil {
		err = os.Rename(temp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// remove removes the file if it names this process.
func (f *pidFile) remove() {
	err := f.change(context.Background(), func(ctx context.Context) error {
		own, err := f.isOwn()
		if own && ctx.Err() == nil {
			err = os.Remove(f.path)
		}
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		f.log(err)
	}
}

// log logs err, which no method of Process returns.
func (f *pidFile) log(err error) {
	if err != nil {
		f.logger.Warn("handover: cannot write or remove the PID file", "err", err)
	}
}
