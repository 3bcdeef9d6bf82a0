//go:build unix && !aix && !darwin && !solaris

package sys

import "golang.org/x/sys/unix"

// RecvNeedsForkLock reports whether a receive must be made through RecvWithForkLock, because this system
// has no flag that makes received descriptors close-on-exec.
const RecvNeedsForkLock = false

// CmsgCloexec is MSG_CMSG_CLOEXEC, or 0 if RecvNeedsForkLock is set. On Linux the backends use
// unix.MSG_CMSG_CLOEXEC directly.
const CmsgCloexec = unix.MSG_CMSG_CLOEXEC

// RecvWithForkLock calls receive while no child process can be started.
func RecvWithForkLock(sock int32, flags int, receive func(flags int) error) error {
	return receive(flags)
}
