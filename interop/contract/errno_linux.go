package contract

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrnoName turns 90 into EMSGSIZE, and an errno of two names into one of them.
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
