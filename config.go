package scm

import "io/fs"

// Config has the options of a [Conn] or [Listener]. The functions that take no Config use
// the zero value.
type Config struct {
	// Expect, if not nil, is what the files that arrived must be for ReadFiles and RecvFile to
	// return them. They close any others, and return an [*ExpectError]. Truncated has no
	// effect here: see KeepTruncated.
	Expect *Expect

	// KeepTruncated makes ReadFiles return the first files of a message with a
	// [TruncatedError], so that missing descriptors do not end a conversation.
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

// check refuses what no message could satisfy.
func (config Config) check() error {
	if config.Expect == nil {
		return nil
	}
	return config.Expect.check()
}
