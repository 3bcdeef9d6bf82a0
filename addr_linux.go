package scm

import (
	"encoding/binary"

	"github.com/scm-rights/scm/internal/msg"
)

// sunPathBytes is sizeof(sun_path).
const sunPathBytes = 108

func putFamily(buf *[msg.NameBytes]byte, _ int) {
	binary.NativeEndian.PutUint16(buf[:], afUnix)
}
