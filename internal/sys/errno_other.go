//go:build !unix

package sys

import "errors"

const (
	EINVAL       = unsupported("unsupported operation")
	EMSGSIZE     = unsupported("unsupported operation")
	ENAMETOOLONG = unsupported("unsupported operation")
	EADDRINUSE   = unsupported("unsupported operation")

	ENOTSOCK        = unsupported("unsupported operation")
	EPROTONOSUPPORT = unsupported("unsupported operation")
)

// unsupported replaces the errno on systems that lack the system call.
type unsupported string

func (e unsupported) Error() string        { return string(e) }
func (e unsupported) Is(target error) bool { return target == errors.ErrUnsupported }
