package fdchannel

import "golang.org/x/sys/unix"

// msgDontWait has another name on AIX.
const msgDontWait = unix.MSG_NONBLOCK
