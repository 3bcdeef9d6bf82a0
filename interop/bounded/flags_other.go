//go:build !unix

package bounded

// Flags of open that there are elsewhere.
const (
	Nonblock = 0
	NoFollow = 0
)

// NoReader is about systems that have FIFOs.
func NoReader(error) bool { return false }
