//go:build darwin || solaris

package scm

import "golang.org/x/sys/unix"

const dontWait = unix.MSG_DONTWAIT
