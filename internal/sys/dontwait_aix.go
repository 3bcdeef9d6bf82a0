package sys

import "golang.org/x/sys/unix"

// DontWait has another name on AIX.
const DontWait = unix.MSG_NONBLOCK
