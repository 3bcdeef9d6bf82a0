//go:build unix && !linux

package pure

// Where credentials have another form, or none, no control message is taken
// for them.
const (
	hasCredentials = false
	scmCredentials = -1
	scmPidfd       = -2
)
