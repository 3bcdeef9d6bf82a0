//go:build unix && !aix

package scm

import "golang.org/x/sys/unix"

const dontWait = unix.MSG_DONTWAIT
