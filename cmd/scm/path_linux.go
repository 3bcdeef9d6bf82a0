package main

import "golang.org/x/sys/unix"

// isPath tells whether status flags are those of a file that was opened with O_PATH.
func isPath(flags int) bool { return flags&unix.O_PATH != 0 }
