package sys

import "golang.org/x/sys/unix"

// DontWait is MSG_DONTWAIT, which has a different name on AIX.
const DontWait = unix.MSG_NONBLOCK

// Lock does nothing, because Go's port to AIX has no flock.
func Lock(int) error { return nil }
