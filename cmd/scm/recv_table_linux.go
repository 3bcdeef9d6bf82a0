package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// ownTable gives the calling goroutine a thread that has a descriptor table of its own, a
// copy, and reports whether it could: a container's seccomp filter may refuse it.
func ownTable() bool {
	runtime.LockOSThread()
	return unix.Unshare(unix.CLONE_FILES) == nil
}

// duplicate is dup3(2), by which the scheduler does not come in.
func duplicate(from, to int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_DUP3, uintptr(from), uintptr(to), 0); errno != 0 {
		return errno
	}
	return nil
}
