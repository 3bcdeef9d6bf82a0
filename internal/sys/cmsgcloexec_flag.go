//go:build unix && !aix && !darwin && !solaris

package sys

import "golang.org/x/sys/unix"

// CmsgCloexec is MSG_CMSG_CLOEXEC, or 0 on systems where the receiver itself must make received
// descriptors close-on-exec. On Linux the backends use unix.MSG_CMSG_CLOEXEC directly, and only
// compare this constant with 0.
const CmsgCloexec = unix.MSG_CMSG_CLOEXEC
