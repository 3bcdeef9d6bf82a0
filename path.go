package scm

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/sys"
)

// withName calls use with the name of a Unix address that the kernel takes for
// addr: addr itself or, for a path that is too long, another one.
func withName(addr string, use func(name string) error) error {
	switch {
	case isAbstract(addr):
		if len(addr) > sys.MaxAbstract {
			return nameTooLong(addr, sys.MaxAbstract)
		}
		return use(addr)
	case len(addr) <= sys.MaxName:
		if err := checkPath(addr); err != nil {
			return err
		}
		return use(addr)
	case !sys.HasLongPaths:
		return nameTooLong(addr, sys.MaxName)
	}
	p, err := openPlace(addr)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.withName(p.base, use)
}

// withName calls use with a name that the kernel takes for the file base in the
// folder. It is the path as it was given, if that is not too long.
func (p *place) withName(base string, use func(name string) error) error {
	if base == p.base && len(p.path) <= sys.MaxName {
		return use(p.path)
	}
	name := p.Name(base)
	if len(name) > sys.MaxName {
		return nameTooLong(p.path, sys.MaxName)
	}
	return use(name)
}

// checkPath refuses a path that the kernel would take for a shorter one.
func checkPath(path string) error {
	if strings.IndexByte(path, 0) >= 0 {
		return fmt.Errorf("address %q has a 0 byte: %w", path, syscall.EINVAL)
	}
	return nil
}

// nameTooLong says by how much.
func nameTooLong(addr string, most int) error {
	return fmt.Errorf("address of %d bytes, sun_path holds %d: %w", len(addr), most, sys.ENAMETOOLONG)
}

// isAbstract reports names that are no paths: those with "@" in the place of the
// 0 byte, and the empty one, for which the kernel chooses.
func isAbstract(addr string) bool {
	return sys.HasAbstract && (addr == "" || addr[0] == '@')
}
