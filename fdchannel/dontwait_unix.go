//go:build unix && !aix

package fdchannel

import "golang.org/x/sys/unix"

const msgDontWait = unix.MSG_DONTWAIT
