package contract

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrnoName returns the name of an errno: EMSGSIZE for 90, and one of the two names where
// an errno has two.
func ErrnoName(word string) string {
	if n, err := strconv.Atoi(word); err == nil {
		if name := unix.ErrnoName(unix.Errno(n)); name != "" {
			word = name
		}
	}
	switch word {
	case "EWOULDBLOCK":
		return "EAGAIN"
	case "ENOTSUP":
		return "EOPNOTSUPP"
	}
	return word
}
