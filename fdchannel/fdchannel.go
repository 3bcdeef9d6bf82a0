// Package fdchannel passes descriptors over a socket, one in each message, without a payload. It has the
// same API as gVisor's pkg/fdchannel. A program written for that package compiles with this one when its
// import path is changed. The two packages can be used at opposite ends of a channel.
//
// Both make the same system calls and return the same results, except for the differences listed in
// docs/trust.md: received descriptors are close-on-exec, a message never contains data from an earlier
// one, and a receive that loses descriptors closes those that it did receive and returns an error.
//
// If a system call fails, the error is a bare errno, which can be compared with ==:
//
//	if _, err := ep.RecvFDNonblock(); err == syscall.EAGAIN {
//
// The package does not retry system calls, so EINTR is a possible error. The methods of an Endpoint
// allocate memory only when they fail.
//
// On Windows, WebAssembly and Plan 9 the package builds, but every call returns [errors.ErrUnsupported].
package fdchannel

import (
	"errors"
	"os"

	"github.com/scm-rights/scm"
	"github.com/scm-rights/scm/internal/sys"
)

// errNone is returned at the end of the connection and for a message without a descriptor. On a seqpacket
// socket the end looks like an empty message.
var errNone = errors.New("fdchannel: received no descriptor: the connection has ended, or the message carried none")

// NewConnectedSockets creates two connected sockets with socketpair(2). Both are blocking, close-on-exec
// AF_UNIX sockets of type SOCK_SEQPACKET. The caller owns each socket until it passes the socket to
// NewEndpoint or Init. On error, both results are -1, and the error is an errno. macOS does not support
// such sockets, so the call always fails there.
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

// Init makes ep use sockfd and take ownership of it. sockfd must be a blocking AF_UNIX socket of type
// SOCK_SEQPACKET.
func (ep *Endpoint) Init(sockfd int) {
	if sockfd != int(int32(sockfd)) {
		sockfd = -1 // truncated to 32 bits, it could refer to another descriptor
	}
	ep.sockfd = sockfd
}

// NewEndpoint returns a new Endpoint that uses and owns sockfd. It calls [Endpoint.Init].
func NewEndpoint(sockfd int) *Endpoint {
	ep := new(Endpoint)
	ep.Init(sockfd)
	return ep
}

// Destroy closes the socket. No other method may be running at that time, and none may be called
// afterwards.
func (ep *Endpoint) Destroy() {
	sys.Close(ep.sockfd)
	ep.sockfd = -1
}

// Shutdown shuts down the socket in both directions with shutdown(2). Calls that are waiting at either end fail, and so
// do later calls, except that messages sent earlier can still be received. On NetBSD and FreeBSD, the other end's
// SendFD still succeeds; NetBSD drops the message, and FreeBSD delivers it. Shutdown is the only method that may be
// called during another one. It does not wait for the other to return.
func (ep *Endpoint) Shutdown() {
	sys.ShutdownBoth(ep.sockfd)
}

// SendFD sends the descriptor fd in an empty message with a single sendmsg(2) call. It blocks a thread
// while the socket's buffer is full.
//
// fd stays open and still belongs to the caller, even on error. The error is an errno, such as EBADF if fd is not open,
// EPIPE after Shutdown (but see Shutdown about the other end), or EPIPE or ECONNRESET after Destroy at the other end.
// On error, nothing was sent.
func (ep *Endpoint) SendFD(fd int) error {
	fds := [1]int{fd}
	m := scm.Message{FDs: fds[:], Unpadded: true}
	return bare(scm.Send(ep.sockfd, &m, 0))
}

// RecvFD receives a message with a single recvmsg(2) call and returns its descriptor. It blocks a thread
// until a message arrives. The descriptor is close-on-exec, and the caller must close it. If the message
// has a payload, RecvFD discards it.
//
// On error, RecvFD returns -1 and closes the descriptors of the message. The error is
//   - an errno if recvmsg(2) failed
//   - a [*scm.TruncatedError] if descriptors were lost, because the sender sent more than one, because this
//     process's descriptor table was full, or because a socket option such as SO_PASSCRED added a control
//     message that took up the space
//   - another error at the end of the connection, or if the message has no descriptor
//
// Shutdown does not interrupt RecvFD while it closes a rejected descriptor. close(2) can block if the
// file's server does not answer (FUSE), or if the descriptor is a socket with SO_LINGER.
func (ep *Endpoint) RecvFD() (int, error) {
	return ep.recv(0)
}

// RecvFDNonblock is like RecvFD but does not wait. If there is no message, the error is EAGAIN.
func (ep *Endpoint) RecvFDNonblock() (int, error) {
	return ep.recv(sys.DontWait)
}

func (ep *Endpoint) recv(flags int) (int, error) {
	var fds [1]int
	m := scm.Message{FDs: fds[:]}
	if err := scm.Recv(ep.sockfd, &m, flags|sys.MsgTrunc); err != nil {
		return -1, bare(err)
	}
	switch {
	case m.Flags&sys.ControlTruncated != 0:
		if m.NFD == 1 {
			sys.Close(fds[0])
		}
		lost := &scm.TruncatedError{N: m.N, Received: m.NFD, Room: len(fds)}
		if m.NFD == len(fds) {
			lost.Cause = sys.TruncationCause(int(ep.sockfd), m.NFD, len(fds))
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
