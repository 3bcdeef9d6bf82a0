//go:build unix && !aix

package sys

import "golang.org/x/sys/unix"

// DontWait makes a call fail with EAGAIN instead of waiting.
const DontWait = unix.MSG_DONTWAIT
