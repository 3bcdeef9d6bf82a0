package main

import (
	"fmt"

	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// isPath tells whether status flags are those of a file that was opened with O_PATH.
func isPath(flags int) bool { return flags&unix.O_PATH != 0 }

// fileMode is a file's st_mode. No server of a file system is asked for it.
func fileMode(fd int) (uint32, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st)
	if err == unix.ENOSYS { // before Linux 4.11
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return 0, fmt.Errorf("fstat: %w", err)
		}
		return st.Mode, nil
	}
	if err != nil {
		return 0, fmt.Errorf("statx: %w", err)
	}
	return uint32(st.Mode), nil
}

// anonymousKind is the kind of a file that no file system has, as --expect has it, by the
// kernel's name for the file; of any other file it is "".
func anonymousKind(name string) string { return sys.AnonymousKind(name) }
