//go:build aix || darwin || solaris

package pure

import "golang.org/x/sys/unix"

// cmsgCloexec is a flag that these systems lack, or x/sys does not know (illumos).
const cmsgCloexec = 0

// setCloseOnExec comes after the fact; package scm holds syscall.ForkLock.
func setCloseOnExec(fd int32) { unix.CloseOnExec(int(fd)) }
