//go:build unix && !linux

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// isPath is about Linux.
func isPath(int) bool { return false }

// fileMode is a file's st_mode.
func fileMode(fd int) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("fstat: %w", err)
	}
	return uint32(st.Mode), nil
}

// anonymousKind is about Linux.
func anonymousKind(string) string { return "" }
