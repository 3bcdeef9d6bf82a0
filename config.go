package scm

import (
	"io/fs"
	"strconv"

	"github.com/scm-rights/scm/internal/sys"
)

// Config has the options of a [Conn] or [Listener]. The functions that take no Config use
// the zero value.
type Config struct {
	// Expect, if not nil, is what the files that arrived must be for ReadFiles and RecvFile to
	// return them. They close any others, and return an [*ExpectError]. Truncated has no
	// effect here: see KeepTruncated.
	Expect *Expect

	// KeepTruncated makes ReadFiles and ReadBuffers return the first files of a truncated
	// message along with the [TruncatedError], so that a message that lacks descriptors or
	// bytes does not end a conversation.
	KeepTruncated bool

	// NoFiles makes the kernel refuse descriptors that are sent to the socket, from the
	// start: see [PassRights].
	NoFiles bool

	// Mode is the permissions of the socket file that Listen and ListenPacket make, whatever
	// the umask. 0 leaves them to the umask. Elsewhere than on Linux it is ErrUnsupported.
	Mode fs.FileMode

	// Check is called by a Listener for each connection. Accept closes one for which it
	// returns an error, and goes on to the next. Set a deadline before you read in it.
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
