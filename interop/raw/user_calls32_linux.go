//go:build 386 || arm

package raw

import "golang.org/x/sys/unix"

// The calls without a suffix have 16-bit IDs.
const (
	sysSetgroups = unix.SYS_SETGROUPS32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetresuid = unix.SYS_SETRESUID32
)
