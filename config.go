package scm

import (
	"io/fs"
	"strconv"

	"github.com/scm-rights/scm/internal/sys"
)

// Config holds the options of a [Conn] or [Listener]. Functions that take no Config use the zero value.
type Config struct {
	// Expect, if not nil, is what the files that arrived must be for ReadFiles and RecvFile to
	// return them. They close any others, and return an [*ExpectError]. Truncated has no
	// effect here: see KeepTruncated.
	Expect *Expect

	// KeepTruncated makes ReadFiles and ReadBuffers return the first files of a truncated
	// message along with the [TruncatedError], so that a message that lacks descriptors or
	// bytes does not end a conversation.
	KeepTruncated bool

	// NoFiles makes the kernel reject descriptors that are sent to the socket, from the
	// start: see [PassRights].
	NoFiles bool

	// Mode sets the permissions of the socket file that Listen and ListenPacket make,
	// independently of the umask. With 0 the umask decides. On systems other than Linux,
	// setting Mode is an error that wraps [errors.ErrUnsupported].
	Mode fs.FileMode

	// A Listener calls Check for each new connection. If Check returns an error, Accept closes
	// the connection and waits for the next one. Set a deadline before you read in Check.
	Check func(*Conn) error
}

// check returns EINVAL if no message can match Expect.
func (config Config) check() error {
	switch e := config.Expect; {
	case e == nil:
		return nil
	case e.Min > MaxFDs:
		return sys.Error("scm: Expect wants "+e.number()+" and a message carries at most "+strconv.Itoa(MaxFDs), sys.EINVAL)
	default:
		return e.check()
	}
}

// checkRoom returns EINVAL if Expect wants more descriptors than a call receives.
func (config Config) checkRoom(max int) error {
	if config.Expect == nil || config.Expect.Min <= max {
		return nil
	}
	return sys.Error("scm: Expect wants "+config.Expect.number()+", but the call receives at most "+strconv.Itoa(max), sys.EINVAL)
}
