package handover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var createTemp = os.CreateTemp // another function in a test

// writePIDFile makes Config.PIDFile name this process. Readers see the old content or the new one.
func (p *Process) writePIDFile() error {
	path := p.config.PIDFile
	if path == "" {
		return nil
	}
	dir, name := filepath.Split(path)
	f, err := createTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// logPIDFile logs err, which no method returns.
func (p *Process) logPIDFile(err error) {
	if err != nil {
		p.logger.Warn("handover: cannot write or remove the PID file", "err", err)
	}
}

// removePIDFile removes the file if it names this process.
func (p *Process) removePIDFile() {
	text, err := os.ReadFile(p.config.PIDFile)
	if err == nil && strings.TrimSpace(string(text)) == strconv.Itoa(os.Getpid()) {
		err = os.Remove(p.config.PIDFile)
	}
	if !errors.Is(err, os.ErrNotExist) {
		p.logPIDFile(err)
	}
}
