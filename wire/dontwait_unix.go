//go:build unix && !aix

package wire

import "golang.org/x/sys/unix"

const dontWait = unix.MSG_DONTWAIT
