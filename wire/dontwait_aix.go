package wire

import "golang.org/x/sys/unix"

// dontWait has another name on AIX.
const dontWait = unix.MSG_NONBLOCK
