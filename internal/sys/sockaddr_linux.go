package sys

import (
	"encoding/binary"

	"github.com/scm-rights/scm/internal/msg"
)

const (
	// sunPathBytes is sizeof(sun_path).
	sunPathBytes = 108

	HasAbstract = true
)

func family(buf []byte) int { return int(binary.NativeEndian.Uint16(buf)) }

func putFamily(buf *[msg.NameBytes]byte, _ int) {
	binary.NativeEndian.PutUint16(buf[:], afUnix)
}
