// Package fdchannel passes open files over a socket, one a message and nothing
// else. It has the API of gVisor's pkg/fdchannel, name for name: a program that
// was written for that one compiles with this one by changing the import, and
// either can be at the other end.
//
// Both say the same to the kernel, and to the caller, but for the lines of
// docs/departures.md: a received descriptor is close-on-exec, nothing of an earlier
// message is left in a later one, and a receive that lost something is an error
// that closes the descriptors that were received.
//
// What the system refuses is a bare errno, to be compared by ==:
//
//	if _, err := ep.RecvFDNonblock(); err == syscall.EAGAIN {
//
// EINTR is one of them: nothing is retried. An Endpoint allocates nothing
// unless a call fails.
//
// On Windows, WebAssembly and Plan 9 the package builds, and every call fails
// with scm.ErrUnsupported.
package fdchannel

import (
	"errors"
	"os"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// errNone is the end, which on a seqpacket socket looks like an empty message,
// or a message that carried no descriptor.
var errNone = errors.New("fdchannel: no descriptor: the end, or a message without one")

// NewConnectedSockets makes two connected sockets with socketpair(2): blocking,
// AF_UNIX, SOCK_SEQPACKET, close-on-exec. The caller owns both descriptors until
// each is given to NewEndpoint or Init. On error there are none, both are -1, and
// the error is an errno; macOS, which has no such sockets, always has one.
func NewConnectedSockets() ([2]int, error) {
	a, b, err := sys.Pair("unixpacket")
	return [2]int{a, b}, bare(err)
}

// Endpoint is one end of a channel of descriptors. It must not be copied, and
// is not ready before Init.
type Endpoint struct {
	_      noCopy
	sockfd int
}

// noCopy makes go vet report copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Init makes ep ready, and the owner of sockfd, which must be a blocking AF_UNIX
// SOCK_SEQPACKET socket.
func (ep *Endpoint) Init(sockfd int) {
	if sockfd != int(int32(sockfd)) {
		sockfd = -1 // cut to 32 bits it could be another descriptor's number
	}
	ep.sockfd = sockfd
}

// NewEndpoint returns a new Endpoint on which Init was called.
func NewEndpoint(sockfd int) *Endpoint {
	ep := new(Endpoint)
	ep.Init(sockfd)
	return ep
}

// Destroy closes the socket. No other method may be running or called after.
func (ep *Endpoint) Destroy() {
	sys.Close(ep.sockfd)
	ep.sockfd = -1
}

// Shutdown shuts the socket down in both directions, with shutdown(2). Calls
// that wait at either end return, and they and all later ones fail. It is the
// one method that may be called while others run, for which it does not wait.
//
// What was sent before can still be received.
func (ep *Endpoint) Shutdown() {
	sys.ShutdownBoth(ep.sockfd)
}

// SendFD sends the descriptor fd in an empty message, with one sendmsg(2). It
// blocks a thread while the socket's buffer is full.
//
// fd stays open and the caller's, whether the call succeeds or fails. An error is
// an errno: EBADF for a descriptor that is not open, EPIPE after Shutdown at either
// end or Destroy at the other one; then nothing was sent.
func (ep *Endpoint) SendFD(fd int) error {
	fds := [1]int{fd}
	m := msg.Message{FDs: fds[:], Unpadded: true}
	return send(ep.sockfd, &m, 0)
}

// RecvFD receives a descriptor, with one recvmsg(2), and blocks a thread until one
// comes. It is close-on-exec and the caller's to close. The payload of its message
// is dropped.
//
// On error RecvFD returns -1, and closes the descriptors of the message. The error is
//   - an errno, if recvmsg(2) failed;
//   - [*scm.TruncatedError], if descriptors of the message were lost: the sender sent
//     more than one, the process had none free, or a socket option adds a control
//     message that takes the room;
//   - another error, at the end or for a message without a descriptor.
//
// Shutdown does not end the close(2) of what is refused: a file whose server does not
// answer (FUSE), or a socket with SO_LINGER, holds it up.
func (ep *Endpoint) RecvFD() (int, error) {
	return ep.recv(0)
}

// RecvFDNonblock is RecvFD, but does not wait: if there is no message the error is
// EAGAIN.
func (ep *Endpoint) RecvFDNonblock() (int, error) {
	return ep.recv(sys.DontWait)
}

func (ep *Endpoint) recv(flags int) (int, error) {
	var fds [1]int
	m := msg.Message{FDs: fds[:]}
	if err := recv(ep.sockfd, &m, flags|sys.MsgTrunc); err != nil {
		return -1, err
	}
	switch {
	case m.Flags&sys.ControlTruncated != 0:
		if m.NFD == 1 {
			sys.Close(fds[0])
		}
		lost := &scm.TruncatedError{N: m.N, Received: m.NFD, Room: len(fds)}
		if m.NFD == len(fds) {
			lost.Cause = sys.EMSGSIZE
		}
		return -1, lost
	case m.NFD == 0:
		return -1, errNone
	}
	return fds[0], nil
}

// bare is an error of scm without the name of the system call around it.
func bare(err error) error {
	if call, ok := err.(*os.SyscallError); ok {
		return call.Err
	}
	return err
}
