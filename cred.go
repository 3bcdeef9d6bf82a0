package scm

import (
	"github.com/scm-rights/scm/internal/sys"
)

// PeerCred returns the process at the other end of the connected socket sock: the one that connected,
// that listened, or that made the pair, with the user and group that it then had. Another process can
// have the other end now, or the PID: see [PeerPIDFD]. A user namespace shows each user that it does not
// map as 65534. PID is 0 for a process in a foreign PID namespace, and on FreeBSD.
//
// It is one getsockopt(2) of SO_PEERCRED on Linux, of LOCAL_PEERCRED on macOS and FreeBSD, and
// getpeerucred on Solaris and illumos. Errors wrap the errno: ENOTCONN for a socket without such a peer,
// ENOTSOCK, EBADF, … or [ErrUnsupported].
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(int(number(sock)))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd of the process that [PeerCred] identifies, and of no later one with its PID. It
// is close-on-exec and the caller's to close. On error it is -1.
//
// A pidfd does not mean that the process is still running: Linux 6.18 also returns one for a process that
// has ended and has been waited for. Earlier kernels can return ESRCH or EINVAL instead. To find out, poll
// the pidfd, which is readable once the process has ended.
//
// It is one getsockopt(2) of SO_PEERPIDFD, which exists since Linux 6.5. Errors wrap the errno, such as
// ENODATA for a socket without a peer, and [ErrUnsupported].
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(int(number(sock)))
}

// PassCred sets whether messages that are received from the socket sock from now on come with the
// sender's credentials (SO_PASSCRED), for [Message].Cred. They take room from descriptors in
// receives that do not ask for them. An accepted socket may have connected before the listening one
// had the option: set it again, as in [Config].Check.
//
// It is a setsockopt(2), and a getsockopt(2) to see whether it took. Errors wrap the errno, and
// [ErrUnsupported] where there is no such option; then nothing has changed. Linux only.
func PassCred(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassCred, on)
}

// PassPIDFD sets whether messages that are received from the socket sock from now on come with a
// pidfd of the sender (SO_PASSPIDFD, from Linux 6.5), for [Message].PIDFD. See [PassCred].
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassPIDFD, on)
}

// PassRights sets whether descriptors may be sent to the socket sock (SO_PASSRIGHTS, from Linux
// 6.16). While it is off, a send of descriptors to it fails with EPERM; plain data passes, and
// descriptors that wait in its queue are still delivered. A program that expects no descriptors
// should turn it off, and where that is [ErrUnsupported] receive without room for any. See
// [PassCred] for errors and accepted sockets.
func PassRights(sock int, on bool) error {
	return sys.SetOption(int(number(sock)), sys.OptionPassRights, on)
}
