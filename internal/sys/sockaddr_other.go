//go:build !linux

package sys

import (
	"encoding/binary"
	"runtime"

	"github.com/scm-rights/scm/internal/msg"
)

const (
	// sunPathBytes is sizeof(sun_path) on the BSDs and macOS. Only AIX has less,
	// and rejects longer paths itself.
	sunPathBytes = 104

	HasAbstract = false
)

// hasLength reports whether a struct sockaddr_un begins with a length of one byte. On Solaris and illumos it begins
// with the family, which has two bytes, as on Linux.
const hasLength = runtime.GOOS != "solaris" && runtime.GOOS != "illumos"

func family(buf []byte) int {
	if hasLength {
		return int(buf[1])
	}
	return int(binary.NativeEndian.Uint16(buf))
}

// putFamily writes the fields of an address before the path.
func putFamily(buf *[msg.NameBytes]byte, length int) {
	if hasLength {
		buf[0], buf[1] = byte(length), afUnix
	} else {
		binary.NativeEndian.PutUint16(buf[:], afUnix)
	}
}
