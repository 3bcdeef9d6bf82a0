//go:build linux

package scm

// For the specs, which are in a package of their own.

// RemoveAside removes the file at a path only if it is the other one.
func RemoveAside(path, other string) error {
	p, err := openPlace(path)
	if err != nil {
		return err
	}
	defer p.close()
	o, err := openPlace(other)
	if err != nil {
		return err
	}
	defer o.close()
	info, err := o.look(o.base)
	if err != nil {
		return err
	}
	return p.removeAside(info)
}
