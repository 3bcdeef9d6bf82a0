//go:build unix && !linux

package pure

import "runtime"

// hasRights is false where x/sys gives the kernel the length of a control buffer and not its address: descriptors
// would be dropped, and the call would succeed.
const hasRights = runtime.GOOS != "solaris" && runtime.GOOS != "illumos"

// Where credentials have another form, or none, no control message is taken
// for them.
const (
	hasCredentials = false
	scmCredentials = -1
	scmPidfd       = -2
)
