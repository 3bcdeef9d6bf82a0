package scm

import (
	"github.com/scm-rights/scm/internal/sys"
)

// PeerCred returns the process at the other end of the connected socket sock: the
// one that connected, that listened, or that made the pair, with the user and group
// that it then had. The kernel keeps that from the beginning of the connection to
// its end: another process can have the other end now, by inheritance or because it
// was passed. (On gVisor, at the accepted end of a seqpacket connection, it is the
// process that accepted.)
//
// A user namespace shows each user and group that it does not map as 65534, the overflow
// user: a server in one that itself runs as that user cannot tell strangers from itself.
//
// A socket that listens has no peer, but on Linux PeerCred succeeds for it, and returns
// the process that called listen(2): ask the socket that was accepted.
//
// It is one getsockopt(2) of SO_PEERCRED on Linux, of LOCAL_PEERCRED on macOS and
// FreeBSD, and getpeerucred on Solaris and illumos. PID is 0 where the system does
// not report it, as on FreeBSD, or where the process is in a foreign PID namespace.
// A PID may be another process's by now: see [PeerPIDFD].
//
// Errors wrap the errno: ENOTCONN for a socket that has no peer with credentials,
// TCP's among them, ENOTSOCK, EBADF, … or, where the system has no such call,
// [ErrUnsupported].
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(int(number(sock)))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd of the process that [PeerCred] identifies: a descriptor
// that stands for that process and for no later one with its PID. It is
// close-on-exec and the caller's to close. On error it is -1. For a socket that
// listens it is a pidfd of the process that called listen(2).
//
// It is one getsockopt(2) of SO_PEERPIDFD, which is from Linux 6.5. Errors wrap
// the errno: ENODATA for a socket without a peer, ESRCH or EINVAL on older
// kernels if the process is gone, … and [ErrUnsupported] too where there is no
// such option.
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(int(number(sock)))
}

// PassCred sets whether messages that are received from the socket sock from
// now on come with the sender's credentials (SO_PASSCRED), for [Message].Cred.
// They take room from descriptors in receives that do not ask for them.
//
// What an option of these three does ends with the socket. On Linux an accepted
// socket has the options that the listening one had when the client connected, which
// may be before the option was set: set it again on each socket that was accepted,
// as in [Config].Check by [Conn.PassCred].
//
// Each is a setsockopt(2), and a getsockopt(2) to see whether it took: gVisor accepts
// options that it does not know. Errors wrap the errno, and [ErrUnsupported] where the
// option does not exist or is not for this kind of socket; then nothing has changed,
// unless somebody else who has the socket sets the option back between the two calls,
// which looks the same. Linux only. setsockopt(2) waits while another process that has
// the socket is inside a system call on it that waits for a page of memory
// (SO_ATTACH_FILTER, with a page that FUSE or userfaultfd serves).
func PassCred(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassCred, on)
}

// PassPIDFD sets whether messages that are received from the socket sock from
// now on come with a pidfd of the sender (SO_PASSPIDFD, from Linux 6.5), for
// [Message].PIDFD. A receive that does not ask for it closes it.
// See [PassCred] for errors.
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassPIDFD, on)
}

// PassRights sets whether descriptors may be sent to the socket sock
// (SO_PASSRIGHTS, from Linux 6.16), as they may from the start. Once it is off,
// whoever sends descriptors to it gets EPERM and nothing is sent; plain data
// passes, and descriptors that wait in its queue are still delivered. What is
// sent from sock is not concerned. On a listening socket it also holds for
// what connects from then on, before it is accepted. It does not hold for a
// connection that waits already, which can bring descriptors: [Config].NoFiles turns
// it off again in each that a [Listener] accepts.
//
// A program that expects no descriptors should turn it off, and where that is
// [ErrUnsupported] receive without room for any. See [PassCred] for errors.
func PassRights(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassRights, on)
}
