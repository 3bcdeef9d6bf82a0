package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var createTemp = os.CreateTemp // another function in a test

// pidFileTime limits the wait for the file system of Config.PIDFile, which may not respond.
var pidFileTime = writeTime // shorter in a test

// changePIDFile calls change after all earlier changes. It waits until ctx is done, for at most pidFileTime. When it no
// longer waits, the context of change is done, and change must leave the file as it is.
func (p *Process) changePIDFile(ctx context.Context, change func(ctx context.Context, path string) error) error {
	if p.config.PIDFile == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pidFileTime)
	defer cancel()
	changed := make(chan error, 1)
	go func() {
		p.pidFile.Lock()
		defer p.pidFile.Unlock()
		changed <- change(ctx, p.config.PIDFile)
	}()
	select {
	case err := <-changed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w, while waiting for the file system of the PID file", ctx.Err())
	}
}

// writePIDFile makes Config.PIDFile name this process. Readers see the old content or the new one.
func (p *Process) writePIDFile(ctx context.Context) error {
	return p.changePIDFile(ctx, func(ctx context.Context, path string) error {
		dir, name := filepath.Split(path)
		f, err := createTemp(dir, name+".*")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, os.Getpid())
		if err = errors.Join(err, f.Chmod(0o644), f.Close(), ctx.Err()); err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
		return err
	})
}

// logPIDFile logs err, which no method returns.
func (p *Process) logPIDFile(err error) {
	if err != nil {
		p.logger.Warn("handover: cannot write or remove the PID file", "err", err)
	}
}

// removePIDFile removes the file if it names this process.
func (p *Process) removePIDFile() {
	err := p.changePIDFile(context.Background(), func(ctx context.Context, path string) error {
		text, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(os.Getpid()) && ctx.Err() == nil {
			err = os.Remove(path)
		}
		return err
	})
	if !errors.Is(err, os.ErrNotExist) {
		p.logPIDFile(err)
	}
}
