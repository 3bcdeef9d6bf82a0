package scm

import (
	"encoding/binary"

	"github.com/scm-rights/scm/internal/msg"
)

const (
	// sunPathBytes is sizeof(sun_path).
	sunPathBytes = 108

	hasAbstract = true
)

func putFamily(buf *[msg.NameBytes]byte, _ int) {
	binary.NativeEndian.PutUint16(buf[:], afUnix)
}
