//go:build unix && !aix && !darwin && !solaris

package sys

import "golang.org/x/sys/unix"

// CmsgCloexec is MSG_CMSG_CLOEXEC, or 0 where received descriptors are not close-on-exec
// until the receiver sets it. On Linux the backends add unix.MSG_CMSG_CLOEXEC themselves:
// there it is only compared with 0.
const CmsgCloexec = unix.MSG_CMSG_CLOEXEC
