//go:build unix && !aix

package sys

import "golang.org/x/sys/unix"

// DontWait makes a call return EAGAIN where it would wait.
const DontWait = unix.MSG_DONTWAIT
