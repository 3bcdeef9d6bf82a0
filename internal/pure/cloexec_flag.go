//go:build dragonfly || freebsd || netbsd || openbsd

package pure

import "golang.org/x/sys/unix"

// cmsgCloexec is MSG_CMSG_CLOEXEC where the system has it.
const cmsgCloexec = unix.MSG_CMSG_CLOEXEC

// setCloseOnExec has nothing to do: the kernel did, by MSG_CMSG_CLOEXEC.
func setCloseOnExec(int32) {}
