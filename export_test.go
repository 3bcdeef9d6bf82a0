//go:build linux

package scm

// For the specs, which are in a package of their own.

// RemoveAside removes the file at a path only if it is the other one.
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
	return p.removeAside(info)
}
