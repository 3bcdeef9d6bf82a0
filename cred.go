package scm

import (
	"github.com/scm-rights/scm/internal/sys"
)

// PeerCred identifies the process at the other end of the connected socket sock. That is the process that
// called connect, listen or socketpair, with the user and group that it had at that time. Since then the
// socket may have been passed to another process, and the PID may have been reused: see [PeerPIDFD]. A
// user namespace reports a user that it does not map as 65534. PID is 0 for a process in a PID namespace
// that is not visible from here, and on FreeBSD.
//
// PeerCred makes one system call: getsockopt(2) with SO_PEERCRED on Linux or with LOCAL_PEERCRED on macOS
// and FreeBSD, or getpeerucred on Solaris and illumos. Errors wrap the errno (ENOTCONN if the socket has
// no such peer, ENOTSOCK, EBADF, …) or [errors.ErrUnsupported].
func PeerCred(sock int) (Cred, error) {
	pid, uid, gid, err := sys.PeerCred(int(toInt32(sock)))
	return Cred{PID: pid, UID: uid, GID: gid}, err
}

// PeerPIDFD returns a pidfd for the process that [PeerCred] identifies. The pidfd never refers to a later
// process with the same PID. It is close-on-exec, and the caller must close it. On error PeerPIDFD returns
// -1.
//
// A pidfd does not mean that the process is still running. Linux 6.18 also returns one for a process that
// has ended and has been waited for, while earlier kernels can return ESRCH or EINVAL. To find out whether
// the process has ended, poll the pidfd: it is then readable.
//
// PeerPIDFD makes one getsockopt(2) call with SO_PEERPIDFD, which Linux has since 6.5. Errors wrap the
// errno (ENODATA if the socket has no peer) or, if the option does not exist, also [errors.ErrUnsupported].
func PeerPIDFD(sock int) (int, error) {
	return sys.PeerPIDFD(int(toInt32(sock)))
}

// PassCred turns the option SO_PASSCRED of the socket sock on or off. While it is on, the kernel adds the
// sender's credentials to each message that is received, for [Message].Cred. A receive that does not ask
// for credentials loses space for descriptors to them. A client may have connected before the listening
// socket had the option: set it on the accepted socket again, for example in [Config].Check.
//
// PassCred makes a setsockopt(2) call, and a getsockopt(2) call to check that the option took effect.
// Errors wrap the errno. If the option does not exist, which is the case on all systems but Linux, they
// also wrap [errors.ErrUnsupported], and nothing is changed.
func PassCred(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassCred, on)
}

// PassPIDFD turns the option SO_PASSPIDFD of the socket sock on or off, which Linux has since 6.5. While
// it is on, the kernel adds a pidfd of the sender to each message that is received, for [Message].PIDFD.
// Everything else is as for [PassCred].
func PassPIDFD(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassPIDFD, on)
}

// PassRights turns the option SO_PASSRIGHTS of the socket sock on or off, which Linux has since 6.16.
// While it is off, sending descriptors to the socket fails with EPERM. Plain data passes, and descriptors
// that were already queued are still delivered.
//
// A program that expects no descriptors should turn the option off. If the kernel does not have it
// ([errors.ErrUnsupported]), the program should receive with a capacity of no descriptors instead. See
// [PassCred] for errors and accepted sockets.
func PassRights(sock int, on bool) error {
	return sys.SetOption(int(toInt32(sock)), sys.OptionPassRights, on)
}
