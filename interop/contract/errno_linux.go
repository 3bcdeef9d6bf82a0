package contract

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrnoName returns the name of an errno, given its name or its number. For example, it returns
// EMSGSIZE for 90. If an errno has two names, it always returns the same one. It returns any other
// word unchanged.
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

// NameErrno returns an answer with its errno by name: err EMSGSIZE for err 90. It returns any other
// answer unchanged.
func NameErrno(answer string) string {
	if errno, ok := strings.CutPrefix(answer, "err "); ok {
		return "err " + ErrnoName(errno)
	}
	return answer
}
