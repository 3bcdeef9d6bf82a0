//go:build !linux

package scm

import "github.com/scm-rights/scm/internal/msg"

const (
	// sunPathBytes is sizeof(sun_path) on the BSDs and macOS; no system has
	// less but AIX, whose own check then speaks.
	sunPathBytes = 104

	hasAbstract = false
)

// putFamily writes what the BSDs and macOS begin an address with.
func putFamily(buf *[msg.NameBytes]byte, length int) {
	buf[0], buf[1] = byte(length), afUnix
}
