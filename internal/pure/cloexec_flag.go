//go:build linux || dragonfly || freebsd || netbsd || openbsd

package pure

import "golang.org/x/sys/unix"

const cmsgCloexec = unix.MSG_CMSG_CLOEXEC

// setCloseOnExec has nothing to do: the kernel did, by the flag.
func setCloseOnExec(int32) {}
