package scm

import (
	"fmt"
	"strings"
	"syscall"
)

// withName calls use with the name of a Unix address that the kernel takes for
// addr: addr itself or, for a path that is too long, another one.
func withName(addr string, use func(name string) error) error {
	switch {
	case strings.IndexByte(addr, 0) >= 0:
		return fmt.Errorf("address %q has a 0 byte: %w", addr, syscall.EINVAL)
	case len(addr) <= sysMaxName:
		return use(addr)
	case isAbstract(addr):
		return nameTooLong(addr)
	}
	return sysShortName(addr, use)
}

// nameTooLong says by how much.
func nameTooLong(addr string) error {
	return fmt.Errorf("address of %d bytes, sun_path holds %d: %w", len(addr), sysMaxName, errnoNameTooLong)
}

// isAbstract tells names that are no paths: those with "@" in the place of the
// 0 byte, and the empty one, for which the kernel chooses.
func isAbstract(addr string) bool {
	return sysHasAbstract && (addr == "" || addr[0] == '@')
}
