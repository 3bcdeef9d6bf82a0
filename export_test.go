//go:build linux

package scm

import "github.com/scm-rights/scm/internal/sys"

// For the specs, which are in a package of their own.

// RemoveAside removes the file at a path only if it is the other one. The error is
// Listen's.
func RemoveAside(path, other string) error {
	p, err := openPlace(path)
	if err != nil {
		return err
	}
	defer p.Close()
	o, err := openPlace(other)
	if err != nil {
		return err
	}
	defer o.Close()
	info, err := o.Look(o.base)
	if err != nil {
		return err
	}
	if err := p.removeAside(info); err != nil {
		return inUse(err)
	}
	return nil
}

// BindAfter binds a socket to a path, and calls meanwhile when the path's folder is open.
func BindAfter(config Config, network, path string, meanwhile func() error) error {
	fd, err := sys.Socket(network, true)
	if err != nil {
		return err
	}
	defer sys.Close(fd)
	if err := config.restrict(fd, network, path); err != nil {
		return err
	}
	p, err := openPlace(path)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := meanwhile(); err != nil {
		return err
	}
	_, err = config.bindFresh(fd, p)
	return err
}
