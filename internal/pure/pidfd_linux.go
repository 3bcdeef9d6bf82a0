package pure

import "golang.org/x/sys/unix"

// isPidfd tells a pidfd that SO_PASSPIDFD brought unasked.
func isPidfd(h *unix.Cmsghdr) bool {
	return h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_PIDFD
}
