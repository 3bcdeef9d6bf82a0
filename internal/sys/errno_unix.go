//go:build unix

package sys

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/scm-rights/scm/internal/msg"
)

// Errnos that package scm itself returns.
const (
	EINVAL       = syscall.EINVAL
	EMSGSIZE     = syscall.EMSGSIZE
	ENAMETOOLONG = syscall.ENAMETOOLONG
	EADDRINUSE   = syscall.EADDRINUSE
	ENOSPC       = syscall.ENOSPC

	ENOTSOCK        = syscall.ENOTSOCK
	EPROTONOSUPPORT = syscall.EPROTONOSUPPORT
)

func Again(err error) bool         { return errors.Is(err, unix.EAGAIN) }
func InUse(err error) bool         { return errors.Is(err, unix.EADDRINUSE) }
func Refused(err error) bool       { return errors.Is(err, unix.ECONNREFUSED) }
func UnknownOption(err error) bool { return errors.Is(err, unix.ENOPROTOOPT) }
func OtherType(err error) bool     { return errors.Is(err, unix.EPROTOTYPE) }

// OtherKind reports whether package net cannot use a descriptor because of what it is.
func OtherKind(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOTSOCK)
}

// Lacks reports whether this system lacks a feature of the library. An errno, such as ENOSYS, can also be that of a seccomp
// filter.
func Lacks(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) && !errors.As(err, new(syscall.Errno))
}

// IsMissing reports whether a path leads nowhere.
func IsMissing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// Disconnected reports whether the other end of a connection is closed.
func Disconnected(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ENOTCONN)
}

func Interrupted(err error) bool {
	return errors.Is(err, unix.EINTR) || errors.Is(err, syscall.Errno(msg.RestartSys))
}
func TableFull(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

// QueueFull reports whether a send to a datagram socket failed because its queue is full: systems other than Linux
// do not return EAGAIN then.
func QueueFull(err error) bool { return runtime.GOOS != "linux" && errors.Is(err, unix.ENOBUFS) }

// IsKilled reports whether SIGKILL has ended a process.
func IsKilled(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// IsErrno reports whether an error is a bare errno, to which the caller should add the name of the system
// call.
func IsErrno(err error) bool {
	_, ok := err.(syscall.Errno)
	return ok
}
