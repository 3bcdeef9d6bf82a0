package main

import (
	"github.com/scm-rights/scm/internal/sys"
	"golang.org/x/sys/unix"
)

// isPath reports whether status flags are those of a file that was opened with O_PATH.
func isPath(flags int) bool { return flags&unix.O_PATH != 0 }

// anonymousKind is the kind of a file that no file system has, as --expect has it, by the
// kernel's name for the file; of any other file it is "".
func anonymousKind(name string) string { return sys.AnonymousKind(name) }
