//go:build !unix

package scm

const (
	errnoAgain          = unsupported("unsupported operation")
	errnoTooManyFDs     = unsupported("unsupported operation")
	errnoTooManyBuffers = unsupported("unsupported operation")
	errnoNoRoom         = unsupported("unsupported operation")
	errnoNameTooLong    = unsupported("unsupported operation")
	errnoInUse          = unsupported("unsupported operation")
)

// unsupported stands for the errno on systems that have no such call.
type unsupported string

func (e unsupported) Error() string        { return string(e) }
func (e unsupported) Is(target error) bool { return target == ErrUnsupported }
