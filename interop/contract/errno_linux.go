package contract

import "golang.org/x/sys/unix"

// nameOfErrno returns the name of an errno on this architecture, or "".
func nameOfErrno(n int) string { return unix.ErrnoName(unix.Errno(n)) }
