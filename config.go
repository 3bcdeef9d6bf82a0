package scm

import (
	"io/fs"
	"strconv"

	"github.com/scm-rights/scm/internal/sys"
)

// Config holds the options of a [Conn] or [Listener]. Functions that take no Config use the zero value, except that
// [NewConn] keeps the Expect of a Conn, and [NewListener] the Expect and Check of a Listener. A [net.UnixConn] or
// [net.UnixListener] has neither, even if it is embedded in a Conn or Listener. Nor has a received or duplicated
// socket.
type Config struct {
	// Expect, if not nil, describes the descriptors that the Conn's methods, and packages wire and framed, may
	// receive. If one does not match, the call closes all descriptors of the message and returns an [*ExpectError].
	// If a method other than Recv requests fewer descriptors than the message has, the error is a [*TruncatedError]
	// instead. From a Conn's method, it wraps an ExpectError if the message certainly has more than Max descriptors,
	// and all are closed. Read and the methods of the embedded [net.UnixConn] do not use Expect.
	//
	// If Expect is invalid, the call that creates the Conn or Listener returns an error that wraps EINVAL. So
	// does a receive that requests fewer than Min descriptors. Min does not apply to Recv on a stream, where a
	// message can arrive in pieces, or to package framed, which calls Recv.
	Expect *Expect

	// KeepTruncated makes ReadFiles, ReadBuffers and ReadFDs return the files or descriptors before the first one
	// lost, along with the [*TruncatedError]. The caller must close them. If they do not match Expect, the call
	// closes them and returns an [*ExpectError] instead.
	KeepTruncated bool

	// NoFiles makes the kernel reject descriptors that are sent to the socket: see [PassRights]. If the kernel
	// cannot, the call that creates the Conn or Listener fails. Descriptors sent earlier, for example before
	// NewListener took over the socket, are still queued. The methods to which Expect applies close them and
	// return an [*ExpectError] or [*TruncatedError], until [Conn.PassRights] of the same Conn, or of one that
	// WithContext made from it, turns the option on. Methods of other Conns for the same socket do not do this.
	// Recv without FDs only sets MSG_CTRUNC.
	NoFiles bool

	// Mode sets the permissions of the socket file that Listen, ListenPacket and DialPacket create (Linux only). If
	// it is 0, the umask decides. It must let the owner write, or a stale file cannot be replaced. For bits other
	// than permissions, or an abstract name, the error wraps EINVAL. A client that connects before Listen returns
	// can get EACCES.
	Mode fs.FileMode

	// Check, if not nil, is called by a Listener for each new connection. If it returns an error, the
	// connection is closed, and the client gets EPIPE, ECONNRESET or [io.EOF]. Set a deadline before you read
	// in Check. Embedded methods such as AcceptUnix do not call it.
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
