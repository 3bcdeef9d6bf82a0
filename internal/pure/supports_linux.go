package pure

import "golang.org/x/sys/unix"

const (
	hasRights      = true
	hasCredentials = true
	scmCredentials = unix.SCM_CREDENTIALS
	scmPidfd       = unix.SCM_PIDFD
)
