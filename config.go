package scm

import (
	"io/fs"
	"strconv"

	"github.com/scm-rights/scm/internal/sys"
)

// Config holds the options of a [Conn] or [Listener]. Functions that take no Config use the zero value.
type Config struct {
	// Expect, if not nil, describes the descriptors that the Conn may receive. It applies to every message
	// that a method of Conn receives, and therefore also to messages that packages wire and framed receive
	// from a Conn. If a descriptor does not match, the call closes every descriptor in the message and
	// returns an [*ExpectError]. The end of a connection is never an ExpectError. On a seqpacket socket, an empty
	// message without descriptors looks the same as the end.
	//
	// If Expect is invalid, or if its Min is more than MaxFDs, the function that creates the Conn or
	// Listener returns an error that wraps EINVAL.
	//
	// Min applies to calls that receive one whole message: to ReadFiles, ReadBuffers, ReadFDs, RecvFile,
	// RecvConn and RecvListener, and to Recv on datagram and seqpacket sockets (and therefore to the Notify
	// and GVisor formats of package wire). If Min is more than such a call can receive, the error wraps
	// EINVAL, and nothing is received. Min does not apply to Recv on a stream, or to code built on it, such
	// as package framed and the stream formats of package wire. There, a message can arrive in pieces, and
	// some messages, such as error replies, have no descriptor.
	//
	// Recv reports a truncated message in [Message].Flags. Calls that return files, sockets or descriptors
	// return a [*TruncatedError] (see KeepTruncated), and package wire returns a FormatError. Min and Max
	// count the descriptors that were received.
	//
	// Expect does not apply to the methods of the embedded [net.UnixConn], such as ReadMsgUnix.
	Expect *Expect

	// KeepTruncated makes ReadFiles, ReadBuffers and ReadFDs return the first files or descriptors of a
	// truncated message along with the [*TruncatedError]. The conversation can then continue after a
	// message that lacks descriptors or bytes. The caller must close the files or descriptors.
	KeepTruncated bool

	// NoFiles makes the kernel reject descriptors that are sent to the socket: see [PassRights]. If the kernel
	// cannot do that, the function that creates the Conn or Listener returns an error that wraps
	// [errors.ErrUnsupported].
	//
	// Descriptors that were sent before the option was set, for example to an inherited socket or to a
	// connection that a Listener has not yet accepted, are still queued. Until [Conn.PassRights] turns the option on,
	// every method to which Expect applies closes them and returns an [*ExpectError], even if Expect allows them,
	// or a [*TruncatedError] if more arrive than the call can return. Recv without space for descriptors sets
	// MSG_CTRUNC.
	//
	// A Conn that [NewConn] creates for the same socket, even from a Conn with NoFiles, has a Config of its own.
	// Without NoFiles, it returns such descriptors. PassRights of one Conn does not change what the other closes. The
	// same applies to the Conns of a Listener that [NewListener] creates.
	NoFiles bool

	// Mode sets the permissions of the socket file that Listen and ListenPacket create, independently of
	// the umask. If Mode is 0, the umask decides. The error wraps EINVAL if Mode has bits other than
	// permissions, or if the name is abstract. On systems other than Linux, the error wraps
	// [errors.ErrUnsupported] if Mode is not 0.
	//
	// The file never has more permissions than Mode. bind(2) creates it without the permissions that the
	// umask removes, and Listen then adds them, which requires /proc or Linux 6.6. In between, a client that
	// needs the added permissions gets EACCES, and Dial does not retry. Start such clients after Listen has
	// returned, or choose a umask that removes nothing from Mode.
	//
	// Mode must let the owner write to the file. Without that permission, a process that is not root cannot
	// find out whether the file is stale, and a server that was killed cannot listen again (ErrInUse).
	Mode fs.FileMode

	// Check, if not nil, is called by a Listener for each new connection. If it returns an error,
	// Accept closes the connection and waits for the next one. The client's first write after that fails with
	// EPIPE ("broken pipe"), and its reads return [io.EOF] or ECONNRESET, so it does not learn the reason. Set a
	// deadline before you read in Check.
	Check func(*Conn) error
}

// check returns EINVAL if no message can match Expect.
func (config Config) check() error {
	switch e := config.Expect; {
	case e == nil:
		return nil
	case e.Min > MaxFDs:
		return sys.Error("scm: Expect requires "+e.count()+", but a message carries at most "+strconv.Itoa(MaxFDs), sys.EINVAL)
	default:
		return e.check()
	}
}

// checkCapacity returns EINVAL if Expect requires more than the max descriptors that a call receives.
func (config Config) checkCapacity(max int) error {
	if config.Expect == nil || config.Expect.Min <= max {
		return nil
	}
	return sys.Error("scm: Expect requires "+config.Expect.count()+", but the call receives at most "+strconv.Itoa(max), sys.EINVAL)
}
