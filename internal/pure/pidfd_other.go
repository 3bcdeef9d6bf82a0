//go:build unix && !linux

package pure

import "golang.org/x/sys/unix"

// isPidfd is Linux's alone.
func isPidfd(*unix.Cmsghdr) bool { return false }
