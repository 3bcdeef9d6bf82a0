//go:build !unix

package sys

import (
	"errors"
	"strconv"
)

const SymlinkAccess = "path"

func CanTell(string, bool) bool { return false }

func Look(int) (File, error) { return File{}, errors.ErrUnsupported }

func StatusFlags(flags int) int { return flags }

func FlagNames(flags int) string { return "flags " + strconv.Itoa(flags) }

func FamilyName(family int) string { return "family " + strconv.Itoa(family) }

func TypeName(typ int) string { return "type " + strconv.Itoa(typ) }

func ProtocolName(int, int) string { return "" }

func SocketExists(int, int, int) bool { return true }
