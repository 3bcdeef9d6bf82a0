//go:build unix && !linux

package pure

import "runtime"

// hasRights is false on systems where x/sys passes the length of the control buffer to the kernel, but not its address.
// The kernel would drop the descriptors, and the call would succeed.
const hasRights = runtime.GOOS != "solaris" && runtime.GOOS != "illumos"

// These systems pass credentials in another form or not at all, so no control message
// matches these types.
const (
	hasCredentials = false
	scmCredentials = -1
	scmPidfd       = -2
)
