//go:build unix && !linux && !aix

package pure

import "golang.org/x/sys/unix"

const dontWait = unix.MSG_DONTWAIT
