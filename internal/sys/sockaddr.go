package sys

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"syscall"

	"github.com/scm-rights/scm/internal/msg"
)

const (
	// afUnix is AF_UNIX, which is the same on every system.
	afUnix = 1

	// pathAt is the offset of the path in a struct sockaddr_un.
	pathAt = 2

	isLinux   = runtime.GOOS == "linux" || runtime.GOOS == "android"
	isSolaris = runtime.GOOS == "solaris" || runtime.GOOS == "illumos"

	// HasAbstract reports whether this system has abstract names.
	HasAbstract = isLinux

	// hasLength reports whether a struct sockaddr_un begins with a length of one byte, which the family
	// follows, also of one byte. On the other systems it begins with a family of two bytes.
	hasLength = !isLinux && !isSolaris
)

// sunPathBytes returns sizeof(sun_path), which is 104 on the BSDs and macOS. Only AIX has less, and rejects
// longer paths itself.
func sunPathBytes() int {
	if isLinux {
		return 108
	}
	return 104
}

// PutAddr writes a struct sockaddr_un for the name to buf, and returns its length. On Linux a name
// that begins with "@" or a 0 byte is abstract, as in package net.
func PutAddr(buf *[msg.NameBytes]byte, name string) (int, error) {
	switch {
	case name == "":
		return 0, nil
	case len(name) > sunPathBytes() || !abstract(name) && strings.IndexByte(name, 0) >= 0:
		return 0, syscall.EINVAL
	}
	clear(buf[:])
	copy(buf[pathAt:], name)
	length := pathAt + len(name)
	if abstract(name) {
		buf[pathAt] = 0
	} else if len(name) < sunPathBytes() {
		length++ // the NUL after a path
	}
	putFamily(buf, length)
	return length, nil
}

// AddrName returns the name in a struct sockaddr_un that the kernel wrote, or "" for an address of
// another family.
func AddrName(buf []byte) string {
	if len(buf) <= pathAt || family(buf) != afUnix {
		return ""
	}
	path := buf[pathAt:]
	if HasAbstract && path[0] == 0 {
		return "@" + string(path[1:])
	}
	path, _, _ = bytes.Cut(path, []byte{0})
	if name := string(path); name == "" || !abstract(name) {
		return name
	}
	return "./" + string(path) // a path, not an abstract name
}

// abstract reports whether a name is abstract. Such a name may contain NULs and has no file.
func abstract(name string) bool {
	return HasAbstract && (name[0] == '@' || name[0] == 0)
}

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
