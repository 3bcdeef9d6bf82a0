//go:build aix || darwin || solaris

package pure

import "golang.org/x/sys/unix"

// cmsgCloexec stands for MSG_CMSG_CLOEXEC, which these systems lack, or x/sys does not know (illumos).
const cmsgCloexec = 0

// setCloseOnExec sets close-on-exec after the receive; package scm holds syscall.ForkLock.
func setCloseOnExec(fd int32) { unix.CloseOnExec(int(fd)) }
