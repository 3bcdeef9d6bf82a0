//go:build !unix

package bounded

import "os"

// Flags of open that there are elsewhere.
const (
	Nonblock = 0
	NoFollow = 0
)

// NoReader is about systems that have FIFOs.
func NoReader(error) bool { return false }

// Owner is about systems whose files have owners with numbers.
func Owner(os.FileInfo) (uid, gid int, ok bool) { return -1, -1, false }
