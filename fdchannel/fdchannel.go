// Package fdchannel passes descriptors over a socket, one in each message, without a payload. It has the same
// API as gVisor's pkg/fdchannel. A program written for that package compiles with this one after a change of
// the import, and the two packages can be at opposite ends of a channel.
//
// Both make the same system calls and return the same results, except for the differences listed in
// docs/departures.md: received descriptors are close-on-exec, a message never contains anything of an earlier
// one, and a receive that lost descriptors closes those it received and returns an error.
//
// The error of a failed system call is a bare errno, which can be compared with ==:
//
//	if _, err := ep.RecvFDNonblock(); err == syscall.EAGAIN {
//
// No call is retried, so EINTR is a possible error. The methods of an Endpoint allocate memory only if they
// fail.
//
// On Windows, WebAssembly and Plan 9 the package builds, and every call returns [errors.ErrUnsupported].
package fdchannel

import (
	"errors"
	"os"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/msg"
	"github.com/scm-rights/scm/internal/sys"
)

// errNone is returned at the end of the connection and for a message without a descriptor. On a seqpacket
// socket the end looks like an empty message.
var errNone = errors.New("fdchannel: received no descriptor: the connection has ended, or the message carried none")

// NewConnectedSockets creates two connected sockets with socketpair(2). They are AF_UNIX, SOCK_SEQPACKET,
// blocking and close-on-exec. The caller owns each until it is passed to NewEndpoint or Init. On error both
// are -1, and the error is an errno. macOS does not have such sockets, so the call always fails there.
func NewConnectedSockets() ([2]int, error) {
	a, b, err := sys.Pair("unixpacket")
	return [2]int{a, b}, bare(err)
}

// Endpoint is one end of a channel that passes descriptors. It must not be copied. Call Init before any other
// method.
type Endpoint struct {
	_      noCopy
	sockfd int
}

// noCopy makes go vet report copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Init makes ep use and own sockfd, which must be a blocking AF_UNIX SOCK_SEQPACKET socket.
func (ep *Endpoint) Init(sockfd int) {
	if sockfd != int(int32(sockfd)) {
		sockfd = -1 // truncated to 32 bits, it could be another descriptor
	}
	ep.sockfd = sockfd
}

// NewEndpoint returns a new Endpoint that uses and owns sockfd, as after Init.
func NewEndpoint(sockfd int) *Endpoint {
	ep := new(Endpoint)
	ep.Init(sockfd)
	return ep
}

// Destroy closes the socket. No other method may be running, and none may be called afterwards.
func (ep *Endpoint) Destroy() {
	sys.Close(ep.sockfd)
	ep.sockfd = -1
}

// Shutdown shuts the socket down in both directions with shutdown(2). Calls that wait at either end fail, and
// so do all later calls, except that messages sent earlier can still be received. Shutdown is the only method
// that may be called while another one runs. It does not wait for that method to return.
func (ep *Endpoint) Shutdown() {
	sys.ShutdownBoth(ep.sockfd)
}

// SendFD sends the descriptor fd in an empty message with one sendmsg(2). It blocks a thread while the
// socket's buffer is full.
//
// fd stays open and still belongs to the caller, whether the call succeeds or fails. The error is an errno,
// such as EBADF if fd is not open, or EPIPE after Shutdown at either end or Destroy at the other end. On error
// nothing was sent.
func (ep *Endpoint) SendFD(fd int) error {
	fds := [1]int{fd}
	m := msg.Message{FDs: fds[:], Unpadded: true}
	return send(ep.sockfd, &m, 0)
}

// RecvFD receives a message with one recvmsg(2) and returns its descriptor. It blocks a thread until a message
// arrives. The descriptor is close-on-exec, and the caller must close it. RecvFD drops a payload.
//
// On error RecvFD returns -1 and closes the descriptors of the message. The error is
//   - an errno if recvmsg(2) failed
//   - a [*scm.TruncatedError] if descriptors were lost, because the sender sent more than one, because the
//     descriptor table of this process was full, or because a socket option such as SO_PASSCRED adds a
//     control message that takes up the space
//   - another error at the end of the connection, or for a message without a descriptor
//
// Shutdown does not end the close(2) of a rejected descriptor, which can block if the file's server does not
// answer (FUSE), or if it is a socket with SO_LINGER.
func (ep *Endpoint) RecvFD() (int, error) {
	return ep.recv(0)
}

// RecvFDNonblock is like RecvFD but does not wait. If there is no message, the error is EAGAIN.
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

// bare returns an error of package scm without the name of the system call.
func bare(err error) error {
	if call, ok := err.(*os.SyscallError); ok {
		return call.Err
	}
	return err
}
